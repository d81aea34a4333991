"""What the official Python client does over WebSockets: exec, attach and port-forward. Arguments: kubeconfig, pod."""

import sys

from kubernetes import client, config
from kubernetes.stream import portforward, stream

kubeconfig, pod = sys.argv[1:]
config.load_kube_config(kubeconfig)
core = client.CoreV1Api()


def shell(script, **options):
    return stream(
        core.connect_get_namespaced_pod_exec,
        pod,
        "default",
        container="web",
        command=["/bin/busybox", "sh", "-c", script],
        stderr=True,
        stdin=True,
        stdout=True,
        tty=False,
        _preload_content=False,
        **options,
    )


session = shell("read line; echo got $line; echo aside >&2; exit 5")
session.write_stdin("hello\n")
session.run_forever(timeout=20)
said = (session.read_stdout(), session.read_stderr(), session.returncode)
assert said == ("got hello\n", "aside\n", 5), said

# Bytes that are no text, and more of them than fit into one frame.
session = shell("/bin/busybox head -c 1000000 /dev/zero | /bin/busybox tr '\\0' '\\377'", binary=True)
session.run_forever(timeout=60)
got = session.read_stdout()
assert got == b"\xff" * 1000000, len(got)

session = stream(
    core.connect_get_namespaced_pod_attach,
    pod,
    "default",
    container="listener",
    stderr=True,
    stdin=True,
    stdout=True,
    tty=False,
    _preload_content=False,
)
session.write_stdin("from python\n")
line = session.readline_stdout(timeout=20)
assert line == "heard from python", line
session.close()

forward = portforward(core.connect_get_namespaced_pod_portforward, pod, "default", ports="8080")
connection = forward.socket(8080)
connection.setblocking(True)
connection.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
answer = b""
while piece := connection.recv(4096):
    answer += piece
assert b"200 OK" in answer and answer.endswith(b"streamed\n"), answer
assert forward.error(8080) is None, forward.error(8080)
print("python streams")
