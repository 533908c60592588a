"""An object store for the tests in this folder: moto's server in place of S3."""

from collections.abc import Iterator

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer


@pytest.fixture
def bucket(monkeypatch) -> Iterator:
    server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv('S3_ENDPOINT_URL', f'http://{host}:{port}')
    for name in ('AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'):
        monkeypatch.setenv(name, 'testing')
    monkeypatch.setenv('AWS_DEFAULT_REGION', 'us-east-1')
    store = boto3.client('s3', endpoint_url=f'http://{host}:{port}')
    requests.post(f'http://{host}:{port}/moto-api/reset', timeout=10)
    store.create_bucket(Bucket='curves')
    yield store
    store.close()
    server.stop()
