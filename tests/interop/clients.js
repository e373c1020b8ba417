// What dockerode, which nobody here wrote, makes of our API: unversioned and pinned paths, the list form
// of filters, the event stream.  clients.js SOCKET MODULE  (NODE_PATH names the folder with the module)
const Docker = require(process.argv[3]);
const assert = require('assert');

async function talk(options) {
  const docker = new Docker(options);
  const version = await docker.version();
  assert.strictEqual(version.ApiVersion, '1.50');
  const swarm = await docker.swarmInspect();
  assert.strictEqual(swarm.Spec.Name, 'default');
  const events = await docker.getEvents({ filters: JSON.stringify({ type: ['service'] }) });
  // What was before may be heard of late, so each event is looked at: the first of our service counts.
  const heard = [];
  let tell, rest = '';
  events.on('data', (bytes) => {
    const lines = (rest + bytes).split('\n');
    rest = lines.pop();
    heard.push(...lines.filter(Boolean).map((line) => JSON.parse(line)));
    if (tell) tell();
  });
  const firstOf = (id) => new Promise((resolve) => {
    tell = () => {
      const event = heard.find((it) => it.Actor.ID === id);
      if (event) resolve(event);
    };
    tell();
  });
  const service = await docker.createService({
    Name: 'js', Labels: { made: 'js' },
    TaskTemplate: { ContainerSpec: { Image: 'busybox:lab' }, Placement: { Constraints: ['node.hostname==nowhere'] } },
    Mode: { Replicated: { Replicas: 1 } },
  });
  const event = await firstOf(service.id);
  assert.strictEqual(event.Action, 'create');
  assert.strictEqual(event.Actor.Attributes.name, 'js');
  events.destroy();
  const found = await docker.listServices({ filters: { label: ['made=js'] } });
  assert.deepStrictEqual(found.map((it) => it.Spec.Name), ['js']);
  // As the dashboards do it: everything that was inspected goes back, with one number higher. The allocator
  // writes too, so who comes second reads again.
  let seen, spec;
  for (let done = false; !done;) {
    seen = await docker.getService('js').inspect();
    spec = seen.Spec;
    spec.TaskTemplate.ForceUpdate = 1;
    done = await docker.getService('js').update({ version: seen.Version.Index, ...spec }).then(() => true, (error) => {
      if (!/out of sequence/.test(error.message)) throw error;
      return false;
    });
  }
  await assert.rejects(docker.getService('js').update({ version: seen.Version.Index, ...spec }), /update out of sequence/);
  const after = await docker.getService('js').inspect();
  assert.strictEqual(after.Spec.TaskTemplate.ForceUpdate, 1);
  assert.deepStrictEqual(after.PreviousSpec.TaskTemplate.ContainerSpec.Image, 'busybox:lab');
  await docker.listTasks({ filters: { service: ['js'], 'desired-state': ['running'] } });
  await docker.getService(service.id).remove();
  await assert.rejects(docker.getService('js').inspect(), (error) => error.statusCode === 404);
}

(async () => {
  const socketPath = process.argv[2];
  await talk({ socketPath });
  await talk({ socketPath, version: 'v1.44' });
  await talk({ socketPath, version: 'v1.24' });
  console.log('dockerode is content');
})().catch((error) => { console.error('FAIL:', error); process.exit(1); });
