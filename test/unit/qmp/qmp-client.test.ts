import { afterEach, describe, expect, it } from 'vitest'
import {
  addBlockNode,
  queryBlockJobs,
  queryBlockNodes,
  queryStatus,
  QmpClient,
  waitForBlockJob,
  yankBlockNodes,
} from '../../../src/qmp/index.ts'
import { expectFailure } from '../io/expect-failure.ts'
import { FakeQemu, GREETING, type Script } from './fake-qemu.ts'

const open: { stop(): void }[] = []
afterEach(() => {
  for (const one of open.splice(0)) one.stop()
})

async function fake(script: Script = {}): Promise<FakeQemu> {
  const qemu = FakeQemu.create(script)
  open.push(qemu)
  await qemu.listen()
  return qemu
}

async function connected(script: Script = {}): Promise<{ readonly qemu: FakeQemu; readonly client: QmpClient }> {
  const qemu = await fake(script)
  const client = await QmpClient.connect(qemu.path)
  open.push({ stop: () => client.close() })
  return { qemu, client }
}

/** Answers each command with the same value. */
const answering = (value: unknown): Script => ({ onCommand: ({ id }, say) => say({ return: value, id }) })

describe('connecting to QEMU', () => {
  it('greets, enables commands out of band, and knows the version', async () => {
    const { qemu, client } = await connected()
    expect(client.version).toEqual([7, 2, 22])
    expect(qemu.commands).toEqual([
      { execute: 'qmp_capabilities', arguments: { enable: ['oob'] }, id: expect.any(Number) as number },
    ])
  })

  it('is not confused by what QEMU says to clients that have gone', async () => {
    const gone = 17
    const { client } = await connected({
      onNegotiation: ({ id }, say) => say({ return: {}, id: gone }, { return: {}, id }),
      onCommand: ({ id }, say) =>
        say({ error: { class: 'GenericError', desc: 'no' }, id: gone }, { return: 'yes', id }),
    })
    expect(await client.execute('anything')).toBe('yes')
  })

  it('connects again where QEMU took the negotiation of a client that has gone for this one', async () => {
    let count = 0
    const { qemu } = await connected({
      onNegotiation: ({ id }, say) => {
        const desc = 'Capabilities negotiation is already complete, command ignored'
        say(++count === 1 ? { error: { class: 'CommandNotFound', desc }, id } : { return: {}, id })
      },
    })
    expect(qemu.commands.length).toBe(2)
    const refusing = await fake({
      onNegotiation: ({ id }, say) => say({ error: { class: 'GenericError', desc: 'never' }, id }),
    })
    await expectFailure(QmpClient.connect(refusing.path), 'QMP_REFUSED', 'never')
    expect(refusing.commands.length).toBe(2)
  })

  it('takes what comes in pieces of a byte', async () => {
    const { client } = await connected({ ...answering({ status: 'running', running: true }), pieceBytes: 1 })
    expect(await queryStatus(client)).toEqual({ status: 'running', isRunning: true })
  })

  it('fails where nothing listens', async () => {
    const { path } = await fake()
    await expectFailure(QmpClient.connect(`${path}.none`), 'QMP_UNREACHABLE', `${path}.none`, 'no such file')
  })

  it('waits for a QEMU that starts', async () => {
    const qemu = FakeQemu.create()
    open.push(qemu)
    const connecting = QmpClient.connect(qemu.path, { patienceMs: 10_000 })
    await expectFailure(QmpClient.connect(qemu.path, { patienceMs: 50 }), 'QMP_UNREACHABLE', qemu.path)
    await qemu.listen()
    const client = await connecting
    client.close()
  })

  it.each<[string, Script, 'QMP_UNREACHABLE' | 'QMP_INVALID' | 'QMP_CLOSED', string]>([
    ['says nothing', { greeting: null }, 'QMP_UNREACHABLE', 'it has not greeted for 50 ms'],
    ['is something else', { greeting: '220 mail ESMTP' }, 'QMP_INVALID', '220 mail ESMTP'],
    ['answers before it greets', { greeting: { return: {}, id: 1 } }, 'QMP_INVALID', 'it begins with success'],
    ['is too old', { greeting: { QMP: { ...GREETING.QMP, capabilities: [] } } }, 'QMP_INVALID', '2.12 or newer'],
  ])('fails when the other end %s', async (_what, script, code, text) => {
    const { path } = await fake(script)
    const timeoutMs = code === 'QMP_UNREACHABLE' ? 50 : 10_000
    await expectFailure(QmpClient.connect(path, { timeoutMs }), code, text)
  })
})

describe('a command', () => {
  it('gets its own reply, whatever the order', async () => {
    const held: number[] = []
    const { client } = await connected({
      onCommand: ({ id }, say) => {
        held.push(id)
        if (held.length === 3) say(...held.toReversed().map((one) => ({ return: one, id: one })))
      },
    })
    const ids = await Promise.all(['a', 'b', 'c'].map((name) => client.execute(name)))
    expect(ids).toEqual([...held].sort((a, b) => a - b))
  })

  it('that QEMU refuses says why', async () => {
    const error = { class: 'GenericError', desc: "Node 'x' is busy." }
    const { client } = await connected({ onCommand: ({ id }, say) => say({ error, id }) })
    await expectFailure(
      client.execute('blockdev-del'),
      'QMP_REFUSED',
      "execute blockdev-del: GenericError: Node 'x' is busy",
    )
  })

  it('that takes too long fails; its late reply harms nobody', async () => {
    const { client } = await connected({
      onCommand: ({ id, execute }, say) => {
        if (execute === 'two') say({ return: 'one', id: id - 1 }, { return: 'two', id })
      },
    })
    await expectFailure(client.execute('one', {}, { timeoutMs: 20 }), 'QMP_TIMEOUT', 'execute one', 'for 20 ms')
    expect(await client.execute('two')).toBe('two')
  })

  it('waits behind at most six others, so that QEMU hears commands out of band', async () => {
    const { client } = await connected({
      onCommand: (command, say) => {
        if (command['exec-oob'] !== undefined) say({ return: {}, id: command.id })
      },
    })
    const waiting = Array.from({ length: 7 }, () => client.execute('stuck', {}, { timeoutMs: 300 }).catch(() => 'late'))
    await expectFailure(client.execute('eighth'), 'QMP_TIMEOUT', 'it has not answered 7 commands before')
    await yankBlockNodes(client, ['remote'])
    expect(await Promise.all(waiting)).toEqual(Array.from({ length: 7 }, () => 'late'))
    await expectFailure(client.execute('still'), 'QMP_TIMEOUT', '7 commands')
  })

  it.each<[string, unknown, string]>([
    ['garbage', 'garbage', '"garbage"'],
    ['a second greeting', GREETING, 'it greets twice'],
    ['a refusal of nothing', { error: { class: 'GenericError', desc: 'JSON parse error' } }, 'JSON parse error'],
    ['too long a line', 'x'.repeat(5_000_000), 'more than 4194304 bytes'],
  ])('fails, and all others, when %s comes', async (_what, message, text) => {
    const { client } = await connected({ onCommand: (_command, say) => say(message) })
    const [one, two] = [client.execute('one'), client.execute('two')]
    await Promise.all([expectFailure(one, 'QMP_INVALID', text), expectFailure(two, 'QMP_INVALID', text)])
    expect((await client.closed)?.code).toBe('QMP_INVALID')
    await expectFailure(client.execute('three'), 'QMP_INVALID', text)
  })

  it('fails when a command is answered twice', async () => {
    const { client } = await connected({ onCommand: ({ id }, say) => say({ return: {}, id }, { return: {}, id }) })
    await client.execute('one')
    expect((await client.closed)?.message).toContain('answers what nobody asked')
  })

  it('fails when QEMU hangs up, at once and half way through a reply', async () => {
    for (const part of ['', '{"return": ']) {
      const { client } = await connected({ onCommand: (_command, _say, socket) => socket.end(part) })
      await expectFailure(client.execute('quit'), 'QMP_CLOSED', 'it ended the connection')
      expect((await client.closed)?.code).toBe('QMP_CLOSED')
      await expectFailure(client.execute('more'), 'QMP_CLOSED')
    }
  })

  it('fails when this end closes; that is no fault', async () => {
    const { client } = await connected()
    const pending = client.execute('stuck')
    client.close()
    await expectFailure(pending, 'QMP_CLOSED', 'closed at this end')
    expect(await client.closed).toBeUndefined()
  })
})

describe('an event', () => {
  it('is told to who listens, and to who waits for it', async () => {
    const events = ['one', 'two'].map((id) => ({ event: 'JOB', data: { id }, timestamp: {} }))
    const { client } = await connected({ onCommand: ({ id }, say) => say(...events, { return: {}, id }) })
    const heard: unknown[] = []
    const stop = client.onEvent((event) => heard.push(event.data['id']))
    const second = client.waitForEvent('the job two', ({ data }) => data['id'] === 'two', 10_000)
    await client.execute('go')
    expect([(await second).data, heard]).toEqual([{ id: 'two' }, ['one', 'two']])
    stop()
    await client.execute('go')
    expect(heard.length).toBe(2)
  })

  it('that does not come fails, after a while or with the connection', async () => {
    const { client } = await connected({ onCommand: (_command, _say, socket) => socket.end() })
    const late = client.waitForEvent('the moon', () => false, 20)
    await expectFailure(late, 'QMP_TIMEOUT', 'cannot wait for the moon', 'for 20 ms')
    const lost = client.waitForEvent('the sun', () => false, 60_000)
    await client.execute('quit').catch(() => undefined)
    await expectFailure(lost, 'QMP_CLOSED')
  })

  it.each([
    ['BLOCK_JOB_COMPLETED', {}, undefined],
    ['BLOCK_JOB_COMPLETED', { error: 'Input/output error' }, 'Input/output error'],
    ['BLOCK_JOB_CANCELLED', {}, 'it was cancelled'],
  ])('%s with %j tells how a job ended', async (event, more, expected) => {
    const other = { event: 'BLOCK_JOB_COMPLETED', data: { device: 'other', error: 'x' } }
    const { client } = await connected({
      onCommand: ({ id }, say) => say(other, { event, data: { device: 'job', ...more } }, { return: {}, id }),
    })
    const end = waitForBlockJob(client, 'job', 10_000)
    await client.execute('block-stream')
    expect(await end).toBe(expected)
  })
})

describe('what QEMU returns', () => {
  it.each<[string, unknown, (client: QmpClient) => Promise<unknown>, string]>([
    ['no list', {}, queryBlockNodes, 'query-named-block-nodes of QEMU returns: it is no list'],
    ['a list of other things', [1], queryBlockJobs, 'the answer is 1; expected an object'],
    [
      'a node without a size',
      [NODE({ image: {} })],
      queryBlockNodes,
      'virtual-size is missing; expected a whole number',
    ],
    [
      'a size that is not exact',
      [NODE({ image: { 'virtual-size': 2 ** 60 } })],
      queryBlockNodes,
      'expected a whole number up to 2^53 - 1',
    ],
    ['a flag in text', [NODE({ ro: 'yes' })], queryBlockNodes, 'ro is "yes"; expected true or false'],
    ['a name that is none', [NODE({ drv: 7 })], queryBlockNodes, 'drv is 7; expected text'],
  ])('is refused when it is %s', async (_what, value, ask, text) => {
    const { client } = await connected(answering(value))
    await expectFailure(ask(client), 'QMP_INVALID', text)
  })

  it('is sent for what QEMU knows under its own names', async () => {
    const { qemu, client } = await connected(answering({}))
    await addBlockNode(client, {
      driver: 'raw',
      'node-name': 'base',
      'read-only': true,
      file: { driver: 'file', filename: '/x' },
    })
    expect(qemu.commands.at(-1)).toMatchObject({
      execute: 'blockdev-add',
      arguments: { 'node-name': 'base', 'read-only': true },
    })
  })
})

function NODE(change: object): object {
  return { 'node-name': 'n', drv: 'raw', ro: false, file: '/x', image: { 'virtual-size': 1 }, ...change }
}
