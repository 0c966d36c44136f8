"""A client of the classic protocol, from its description alone: python client.py PORT VERB JSON."""
import json
import os
import socket
import sys

from cryptography.hazmat.primitives import hashes, padding, serialization
from cryptography.hazmat.primitives.asymmetric import padding as oaep, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

OAEP = oaep.OAEP(mgf=oaep.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)


class Client:
    def __init__(self, port):
        # Before connecting: on a loaded machine this takes longer than the server waits for a client.
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        self.socket.sendall(str(len(pem)).encode().ljust(8, b"="))
        self.acknowledged()
        self.socket.sendall(pem)
        self.acknowledged()
        length = int(self.exactly(8).rstrip(b"="))
        self.socket.sendall(b"1")
        server = serialization.load_pem_public_key(self.exactly(length))
        self.socket.sendall(b"1")
        secret = os.urandom(48)
        self.socket.sendall(server.encrypt(secret, OAEP))
        self.acknowledged()
        assert key.decrypt(self.exactly(256), OAEP) == secret
        self.socket.sendall(b"1")
        self.key, self.iv = secret[:32], secret[32:]

    def exactly(self, n):
        data = b""
        while len(data) < n:
            more = self.socket.recv(n - len(data))
            assert more, "the server closed"
            data += more
        return data

    def acknowledged(self):
        assert self.exactly(1) == b"1"

    def cipher(self):
        return Cipher(algorithms.AES(self.key), modes.CBC(self.iv))

    def encrypt(self, text):
        pad = padding.PKCS7(128).padder()
        run = self.cipher().encryptor()
        return run.update(pad.update(text) + pad.finalize()) + run.finalize()

    def decrypt(self, data):
        run = self.cipher().decryptor()
        pad = padding.PKCS7(128).unpadder()
        return pad.update(run.update(data) + run.finalize()) + pad.finalize()

    def ask(self, request):
        body = self.encrypt(json.dumps(request).encode())
        following = os.urandom(16)
        self.socket.sendall(self.encrypt(str(len(body) + 16).encode()))
        self.acknowledged()
        self.socket.sendall(body + following)
        self.iv = following
        length = int(self.decrypt(self.exactly(16)))
        self.socket.sendall(b"1")
        data = self.exactly(length)
        answer = json.loads(self.decrypt(data[:-16]))
        assert self.socket.recv(1) == b"", "one request a connection"
        return answer


port, verb, parameters = sys.argv[1:]
print(json.dumps(Client(int(port)).ask({"verb": verb, "parameters": json.loads(parameters)})))
