#!/usr/bin/env python3
"""Holds conversations with an Engine API and checks every answer.

    converse.py SOCKET NAME=VALUE... FILE.talk...

A talk is a list of exchanges:

    POST /networks/create {"Name": "a", "Driver": "overlay"}
    = 201 {"Id": "$net", "Warning": ""}

`= STATUS` may be followed by a pattern: members of an object that are not named are not looked at; a list
must have as many elements, unless its last is "..."; "$name" takes any text and keeps it (or must equal what
was kept); "~regex" must be found; "*" is any value; {"-": ["Key"]} says which members must not be there. A
text that is no JSON must be found in the answer. ${name} puts a kept value into a request. Lines that begin
with blanks continue the one before. `?` instead of `=` asks again, up to 60 s, until the answer fits. `#` begins a comment.

Every JSON answer is also searched for addresses that are not written in the one canonical way, every list is
asked for under each version of the API that is served, and every request with filters in both of their forms.
"""
import http.client, ipaddress, json, re, socket, sys, time

VERSIONS = ['1.24', '1.25', '1.37', '1.41', '1.44', '1.50']
PATIENCE_S = 60

# Members that hold addresses, prefixes or lists of them.
ADDRESS_KEYS = {'HostIp', 'IP', 'Gateway', 'IPv6Gateway', 'VIP', 'EndpointIP', 'IPv4Address', 'IPv6Address', 'Subnet',
                'IPAddress', 'GlobalIPv6Address', 'IPRange', 'HostIP', 'Addresses', 'DefaultAddrPool',
                'InsecureRegistryCIDRs', 'Nameservers', 'NodeAddr', 'AuxiliaryAddresses'}


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__('localhost', timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.path)


class Wrong(Exception):
    pass


def canonical(text):
    """True for "", and for an address or prefix as Go's netip writes it."""
    if text == '':
        return True
    try:
        host, slash, bits = text.partition('/')
        same = str(ipaddress.ip_address(host)) == host
        return same and (not slash or (bits.isdigit() and str(int(bits)) == bits))
    except ValueError:
        return False


def lint(value, key=''):
    """Raises Wrong for an address that strict clients cannot read."""
    if isinstance(value, dict):
        for name, member in value.items():
            inner = 'VIP' if key == 'VirtualIPs' and name == 'Addr' else name
            lint(member, key if key == 'AuxiliaryAddresses' else inner)
    elif isinstance(value, list):
        for member in value:
            if key == 'VirtualIPs':
                lint(member.get('Addr', ''), 'VIP')
            else:
                lint(member, key)
    elif isinstance(value, str) and key in ADDRESS_KEYS and not canonical(value):
        raise Wrong('%s is no canonical address: %r' % (key, value))


def fit(pattern, value, kept, where='$'):
    if pattern == '*':
        return
    if isinstance(pattern, str) and re.fullmatch(r'\$\w+', pattern):
        name = pattern[1:]
        if kept.setdefault(name, value) != value:
            raise Wrong('%s: wanted %r (%s), got %r' % (where, kept[name], name, value))
    elif isinstance(pattern, str) and pattern.startswith('~'):
        if not isinstance(value, str) or not re.search(fill(pattern[1:], kept), value):
            raise Wrong('%s: %r does not match %s' % (where, value, pattern[1:]))
    elif isinstance(pattern, dict):
        if not isinstance(value, dict):
            raise Wrong('%s: wanted an object, got %r' % (where, value))
        for name in pattern.get('-', []):
            if name in value:
                raise Wrong('%s.%s is there: %r' % (where, name, value[name]))
        for name, member in pattern.items():
            if name == '-':
                continue
            name = fill(name, kept)
            if name not in value:
                raise Wrong('%s.%s is missing' % (where, name))
            fit(member, value[name], kept, where + '.' + name)
    elif isinstance(pattern, list):
        if not isinstance(value, list):
            raise Wrong('%s: wanted a list, got %r' % (where, value))
        open_end = bool(pattern) and pattern[-1] == '...'
        wanted = pattern[:-1] if open_end else pattern
        if len(value) < len(wanted) or (len(value) > len(wanted) and not open_end):
            raise Wrong('%s: wanted %d elements, got %d: %.300r' % (where, len(wanted), len(value), value))
        rest = list(value)
        for i, element in enumerate(wanted):     # in any order: stock promises none
            for j, candidate in enumerate(rest):
                try:
                    fit(element, candidate, dict(kept), where)
                    fit(element, candidate, kept, where)
                    del rest[j]
                    break
                except Wrong as wrong:
                    last = wrong
            else:
                raise Wrong('%s[%d] is not there (%s)' % (where, i, last if rest else 'nothing left'))
    elif pattern != value or isinstance(pattern, bool) != isinstance(value, bool):
        raise Wrong('%s: wanted %r, got %r' % (where, pattern, value))


def fill(text, kept):
    return re.sub(r'\$\{(\w+)\}', lambda m: str(kept[m.group(1)]), text)


def ask(path, method, target, body, kind='application/json'):
    conn = Unix(path)
    headers = {'Content-Type': kind} if body else {}
    conn.request(method, target, body=body.encode() if body else None, headers=headers)
    reply = conn.getresponse()
    text = reply.read().decode()
    conn.close()
    return reply.status, reply.headers, text


def check(path, method, target, body, status, pattern, kept):
    got, _, text = ask(path, method, target, body)
    if got != status:
        raise Wrong('status: wanted %d, got %d %.300s' % (status, got, text))
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    lint(value)
    if pattern is None:
        return
    try:
        wanted = json.loads(fill(pattern, kept))
    except ValueError:
        if fill(pattern, kept) not in text:
            raise Wrong('%r is not in the answer: %.300s' % (pattern, text)) from None
        return
    if value is None:
        raise Wrong('no JSON: %.300s' % text)
    fit(wanted, value, kept)


def other_form(target):
    """The same request with its filters in the other of the two forms, or None when it has none."""
    path, found, text = target.partition('filters=')
    try:
        filters = json.loads(text)
        other = {key: ({value: True for value in values} if isinstance(values, list) else list(values))
                 for key, values in filters.items()}
    except (ValueError, TypeError, AttributeError):
        return None
    return path + found + json.dumps(other, separators=(',', ':')) if found else None


def same_in_both_forms(path, target):
    """Clients write filters as {"key":["value"]} or as {"key":{"value":true}}: the answers are the same."""
    other = other_form(target)
    if other is None:
        return
    end = time.time() + PATIENCE_S
    while True:     # what is listed may change meanwhile
        first, second = ask(path, 'GET', target, None), ask(path, 'GET', other, None)
        if first[0] == second[0] and first[2] == second[2]:
            return
        if time.time() > end:
            break
        time.sleep(0.1)
    raise Wrong('filters of the other form give another answer: %s: %d %.200s' % (other, second[0], second[2]))


def exchanges(name):
    """(line, request, sign, status, pattern) of a talk."""
    lines = []
    for number, line in enumerate(open(name, encoding='utf-8'), 1):
        line = line.rstrip('\n')
        if not line.strip() or line.startswith('#'):
            continue
        if line[0] in ' \t' and lines:
            lines[-1][1] += ' ' + line.strip()
        else:
            lines.append([number, line])
    request = None
    for number, line in lines:
        if line[:2] in ('= ', '? '):
            status, _, pattern = line[2:].strip().partition(' ')
            yield number, request, line[0], int(status), pattern.strip() or None
            request = None
        else:
            if request:
                yield number, request, '=', 200, None
            request = line


def run(path, name, kept):
    count = wrong = 0
    for number, request, sign, status, pattern in exchanges(name):
        count += 1
        method, _, rest = fill(request, kept).partition(' ')
        target, _, body = rest.partition(' ')
        end = time.time() + (PATIENCE_S if sign == '?' else 0)
        while True:
            try:
                check(path, method, target, body, status, pattern, kept)
                # A list is one under every version.
                if method == 'GET' and status == 200 and re.fullmatch(r'/(nodes|services|tasks|networks|secrets|configs|swarm)', target):
                    for version in VERSIONS:
                        check(path, method, '/v' + version + target, body, status, None, kept)
                if method == 'GET':
                    same_in_both_forms(path, target)
                break
            except Wrong as problem:
                if time.time() < end:
                    time.sleep(0.1)
                    continue
                print('%s:%d: %s: %s' % (name, number, request[:100], problem))
                wrong += 1
                break
    print('%s: %d exchanges, %d wrong' % (name, count, wrong))
    return wrong


def main():
    path, kept, names = sys.argv[1], {}, []
    for argument in sys.argv[2:]:
        if argument.endswith('.talk'):
            names.append(argument)
        else:
            key, _, value = argument.partition('=')
            kept[key] = value
    sys.exit(1 if sum(run(path, name, dict(kept)) for name in names) else 0)


if __name__ == '__main__':
    main()
