#!/usr/bin/env python3
"""Records what an engine answers to a list of requests, and plays it to another: what fits, what differs.

    replay.py record SOCKET [NAME=VALUE...] LIST.asks >LIST.tape
    replay.py play SOCKET [NAME=VALUE...] LIST.tape...

A list has one request per line, "METHOD PATH [BODY]", and behind it, each after " > ":

    name=Member.0.Member     keeps a value of the answer; ${name} stands for it in later requests
    until Member.0.Member=x  asks again until the answer has that value ("" is: there is none)
    shape                    only the members and their types matter

Lines that begin with a blank continue the one before; "#" begins a comment. BODY is JSON, or @text for a body that
is sent as it is.

A tape is a request a line, as a JSON object with the status, the kind and the body of the answer. What was kept is
written ${name} there too. What differs from run to run is written as what it is: <time>, <id>, <hex>, <ip>, <mac>,
<number>, <text> and so on. An answer fits when it has the status, every member with its type, and every value that is none of these;
members that are not on the tape are not looked at, and lists of objects are in any order. Answers to GET are asked
for again, up to 90 s, until they fit: what happens in a cluster happens later.
"""
import http.client, json, os, re, socket, sys, time

PATIENCE_S = float(os.environ.get('REPLAY_PATIENCE_S', 90))

# Members whose values are the machine's, the engine's or the moment's.
ITS_OWN = {'Index', 'Pid', 'PID', 'NCPU', 'MemTotal', 'NanoCPUs', 'MemoryBytes', 'Size', 'SizeRw', 'SizeRootFs', 'VirtualSize',
           'Created', 'ServerVersion', 'EngineVersion', 'KernelVersion', 'Version', 'Driver.Data', 'time', 'timeNano',
           'SharedSize', 'IPPrefixLen', 'LayersSize', 'Containers', 'SpaceReclaimed', 'LastTagTime', 'Parent', 'ConnectTime', 'HttpsProxy'}
ITS_OWN_TEXT = {'ResolvConfPath', 'HostnamePath', 'HostsPath', 'LogPath', 'Mountpoint', 'SandboxKey', 'GraphDriver', 'Plugins',
                'Status', 'ServerVersion', 'EngineVersion', 'TLSInfo', 'RootFS', 'DockerVersion', 'Ports.IP', 'Comment', 'Labels.',
                'com.docker.network.bridge.name', 'MaskedPaths', 'ReadonlyPaths', 'Architecture', 'CreatedBy', 'Processes',
                'com.docker.network.driver.overlay.vxlanid_list', 'JoinTokens', 'Message', 'CgroupnsMode', 'Runtime', 'Source', 'SandboxID'}
# Members that newer engines have no more.
GONE = {'KernelMemory', 'KernelMemoryTCP'}
SHAPES = [('<time>', r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z'), ('<hex>', r'(sha256:)?[0-9a-f]{64}'), ('<id>', r'[0-9a-z]{25}'),
          ('<mac>', r'([0-9a-f]{2}:){5}[0-9a-f]{2}'), ('<ip>', r'\d+\.\d+\.\d+\.\d+(/\d+|:\d+)?')]
# Inside of longer texts: names of objects made of ids, and ids in messages.
INSIDE = [('<hex>', r'[0-9a-f]{64}'), ('<id>', r'\b(?=[a-z]*[0-9])[0-9a-z]{25}\b'), ('<short>', r'\b(?=[a-f]*[0-9])[0-9a-f]{12}\b')]


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__('localhost', timeout=90)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(90)
        self.sock.connect(self.path)


def ask(path, method, target, body):
    conn = Unix(path)
    if body is None:
        conn.request(method, target)
    else:
        data = body[1:] if isinstance(body, str) and body.startswith('@') else json.dumps(body)
        conn.request(method, target, body=data.encode(), headers={'Content-Type': 'application/json'})
    reply = conn.getresponse()
    text = reply.read()
    kind = (reply.getheader('Content-Type') or '').split(';')[0]
    conn.close()
    if kind == 'application/json':
        documents, rest, decoder = [], text.decode().strip(), json.JSONDecoder()
        while rest:
            value, end = decoder.raw_decode(rest)
            documents.append(value)
            rest = rest[end:].lstrip()
        # A stream of objects is a list of them, in the order of its kinds.
        return reply.status, kind, documents[0] if len(documents) == 1 else {'stream': documents}
    return reply.status, kind, text.decode('latin1')


def fill(value, kept):
    if isinstance(value, str):
        return re.sub(r'\$\{(\w+)\}', lambda m: str(kept[m.group(1)]), value)
    if isinstance(value, dict):
        return {fill(k, kept): fill(v, kept) for k, v in value.items()}
    if isinstance(value, list):
        return [fill(v, kept) for v in value]
    return value


def at(value, path):
    for step in path.split('.') if path else []:
        if isinstance(value, list):
            if not step.isdigit() or int(step) >= len(value):
                return None
            value = value[int(step)]
        elif isinstance(value, dict):
            value = value.get(step)
        else:
            return None
    return value


# ---- recording ----------------------------------------------------------------------------------

def plain(text, kept):
    """The text with what was kept, and what differs from run to run, written as such."""
    for name, value in sorted(kept.items(), key=lambda item: -len(str(item[1]))):
        if len(str(value)) > 5:
            text = text.replace(str(value), '${%s}' % name)
    for shape, pattern in SHAPES:
        if re.fullmatch(pattern, text):
            return shape
    for shape, pattern in INSIDE:
        text = re.sub(pattern, shape, text)
    return text


def trim(value, kept, key=''):
    if isinstance(value, dict):
        if key in ITS_OWN_TEXT:
            return '<object>'
        return {plain(k, kept): trim(v, kept, k) for k, v in value.items() if k not in GONE}
    if isinstance(value, list):
        return '<list>' if key in ITS_OWN_TEXT else [trim(v, kept, key) for v in value]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float)):
        return '<number>' if key in ITS_OWN else value
    if key in ITS_OWN or key in ITS_OWN_TEXT:
        return '<text>'
    return plain(value, kept)


def shape(value):
    """The members and their types, as they are written on a tape."""
    if isinstance(value, dict):
        return {k: shape(v) for k, v in value.items()}
    if isinstance(value, list):
        return '<list>'
    if isinstance(value, bool):
        return '<truth>'
    return value if value is None else '<number>' if isinstance(value, (int, float)) else '<text>'


def requests(name):
    lines = []
    for line in open(name, encoding='utf-8'):
        line = line.rstrip('\n')
        if not line.strip() or line.startswith('#'):
            continue
        if line[0] in ' \t':
            lines[-1] += ' ' + line.strip()
        else:
            lines.append(line)
    for line in lines:
        request, *after = line.split(' > ')
        method, target, *body = request.split(' ', 2)
        text = body[0].strip() if body else None
        yield {'ask': method + ' ' + target, 'body': text if text is None or text[0] == '@' else json.loads(text), 'then': after}


def record(path, kept, name):
    for row in requests(name):
        method, target = fill(row['ask'], kept).split(' ')
        waits = [w[len('until '):].partition('=') for w in row['then'] if w.startswith('until ')]
        end = time.time() + PATIENCE_S
        while True:
            status, kind, answer = ask(path, method, target, fill(row['body'], kept))
            if all(str(at(answer, where) if at(answer, where) is not None else '') == value for where, _, value in waits):
                break
            if time.time() > end:
                sys.exit('%s: does not come: %s (%.300s)' % (row['ask'], row['then'], answer))
            time.sleep(0.2)
        for then in row['then']:
            key, _, where = then.partition('=')
            if not then.startswith('until ') and then != 'shape':
                row['keep'] = dict(row.get('keep', {}), **{key: where})
                kept[key] = at(answer, where)
        shaped = 'shape' in row.pop('then')
        if row['body'] is None:
            del row['body']
        row.update(status=status, kind=kind, answer=shape(answer) if shaped else trim(answer, kept))
        print(json.dumps(row, separators=(', ', ': ')))


# ---- playing ------------------------------------------------------------------------------------

PLACEHOLDERS = dict(SHAPES, **{'<short>': r'[0-9a-f]{12}'})


def misfit(wanted, got, kept, where=''):
    """What differs first, as text; None when it fits."""
    if isinstance(wanted, str):
        if wanted == '<number>':
            return None if isinstance(got, (int, float)) else '%s: wanted a number, got %.100r' % (where, got)
        if wanted == '<truth>':
            return None if isinstance(got, bool) else '%s: wanted true or false, got %.100r' % (where, got)
        if wanted == '<list>':
            return None if isinstance(got, list) else '%s: wanted a list, got %.100r' % (where, got)
        if wanted == '<object>':
            return None if isinstance(got, dict) else '%s: wanted an object, got %.100r' % (where, got)
        if not isinstance(got, str):
            return '%s: wanted text, got %.100r' % (where, got)
        if wanted == '<text>':
            return None
        pattern = re.escape(fill(wanted, kept))
        for shape, inner in PLACEHOLDERS.items():
            pattern = pattern.replace(re.escape(shape), '(?:%s)' % inner)
        return None if re.fullmatch(pattern, got, re.S) else '%s: wanted %.300r, got %.300r' % (where, wanted, got)
    if isinstance(wanted, dict):
        if not isinstance(got, dict):
            return '%s: wanted an object, got %.100r' % (where, got)
        if list(wanted) == ['stream']:
            return misfit_stream(wanted['stream'], got, kept, where)
        rest = dict(got)
        for key, value in wanted.items():
            name = fill(key, kept)
            if '<' in name:     # members named by ids
                name = next((k for k in rest if misfit(key, k, kept) is None), None)
            if name not in rest:
                return '%s.%s: missing' % (where, key)
            problem = misfit(value, rest.pop(name), kept, where + '.' + key)
            if problem:
                return problem
        return None
    if isinstance(wanted, list):
        if not isinstance(got, list) or len(got) != len(wanted):
            return '%s: wanted %d elements, got %.300r' % (where, len(wanted), got)
        rest, problem = list(got), None
        for i, value in enumerate(wanted):
            for j, candidate in enumerate(rest):
                problem = misfit(value, candidate, kept, '%s[%d]' % (where, i))
                if problem is None:
                    del rest[j]
                    break
            if problem:
                return problem
        return None
    return None if wanted == got and isinstance(wanted, bool) == isinstance(got, bool) else '%s: wanted %r, got %.100r' % (where, wanted, got)


def misfit_stream(wanted, got, kept, where):
    """Streams: whatever was in the recorded one comes, in any order and with more between."""
    rest = list(got['stream']) if list(got) == ['stream'] else [got]
    for i, value in enumerate(wanted):
        found = next((j for j, candidate in enumerate(rest) if misfit(value, candidate, kept) is None), None)
        if found is None:
            return '%s[%d]: %.300r does not come' % (where, i, value)
        del rest[found]
    return None


def play(path, kept, name):
    count, differ = 0, 0
    for line in open(name, encoding='utf-8'):
        row = json.loads(line)
        count += 1
        method, target = fill(row['ask'], kept).split(' ')
        end = time.time() + (PATIENCE_S if method == 'GET' else 0)
        while True:
            status, kind, answer = ask(path, method, target, fill(row.get('body'), kept))
            for key, where in row.get('keep', {}).items():
                kept[key] = at(answer, where)
            if status != row['status']:
                problem = 'status: wanted %d, got %d %.300s' % (row['status'], status, answer)
            elif kind != row['kind']:
                problem = 'kind: wanted %s, got %s' % (row['kind'], kind)
            else:
                problem = misfit(row['answer'], answer, kept)
            if problem is None or time.time() > end:
                break
            time.sleep(0.1)
        if problem:
            differ += 1
            print('%s:%d: %s: %s' % (name.rsplit('/', 1)[-1], count, row['ask'], problem), flush=True)
    print('%s: %d of %d fit' % (name.rsplit('/', 1)[-1], count - differ, count))
    return differ


def main():
    verb, path, *rest = sys.argv[1:]
    kept = dict(word.split('=', 1) for word in rest if re.match(r'\w+=', word))
    names = [word for word in rest if not re.match(r'\w+=', word)]
    if verb == 'record':
        record(path, kept, names[0])
    else:
        sys.exit(1 if sum(play(path, dict(kept), name) for name in names) else 0)


if __name__ == '__main__':
    main()
