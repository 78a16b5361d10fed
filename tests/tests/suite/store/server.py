# An S3-compatible server for tests: moto, with a bucket `archive` of 1,105 objects. It writes its port to stdout and ends
# when its stdin does.
import sys

from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
backend = s3_backends["123456789012"]["aws"]
backend.create_bucket("archive", "us-east-1")
for number in range(1105):
    backend.put_object("archive", f"many/objects/{number:05}", b"x")
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
