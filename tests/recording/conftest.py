"""An object store for the tests in this folder: moto's server in place of S3."""

from collections.abc import Iterator

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer


@pytest.fixture(scope='session')
def object_store() -> Iterator[str]:
    """The address of a server."""
    server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
    server.start()
    yield 'http://{}:{}'.format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(object_store, monkeypatch) -> Iterator:
    """An empty bucket."""
    monkeypatch.setenv('S3_ENDPOINT_URL', object_store)
    for name in ('AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'):
        monkeypatch.setenv(name, 'testing')
    monkeypatch.setenv('AWS_DEFAULT_REGION', 'us-east-1')
    requests.post(f'{object_store}/moto-api/reset', timeout=10)
    store = boto3.client('s3', endpoint_url=object_store)
    store.create_bucket(Bucket='curves')
    yield store
    store.close()
