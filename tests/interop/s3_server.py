"""A server that speaks S3 (moto), with an empty bucket; run by the peers' Python. Prints its address, then waits."""

import sys

import boto3
from moto.server import ThreadedMotoServer


def main():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"aws_access_key_id": "user", "aws_secret_access_key": "hush", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=f"http://{host}:{port}", **keys).create_bucket(Bucket="lake")
    print(f"http://{host}:{port}", flush=True)
    sys.stdin.read()
    server.stop()


main()
