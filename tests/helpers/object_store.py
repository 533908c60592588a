"""Lists the names in a bucket."""


def names(bucket) -> list[str]:
    return [item['Key'] for item in bucket.list_objects_v2(Bucket='curves').get('Contents', [])]
