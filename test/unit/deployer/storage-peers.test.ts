import { writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { monitorHosts, storagePeers } from '../../../src/deployer/host/storage-peers.ts'
import { useTemporaryFolder } from '../io/temporary-folder.ts'

const at = useTemporaryFolder()

describe('monitors in a configuration of Ceph', () => {
  it.each([
    ['mon_host = 10.0.0.1', ['10.0.0.1']],
    ['mon host=10.0.0.1, 10.0.0.2:6789 mon.example.com mon2:3300', ['10.0.0.1', '10.0.0.2', 'mon.example.com', 'mon2']],
    ['mon host = "10.0.0.1,10.0.0.2" ; the old ones', ['10.0.0.1', '10.0.0.2']],
    ['mon-host = [v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0],[v2:10.0.0.2:3300/0]', ['10.0.0.1', '10.0.0.2']],
    ['mon host = [v2:[2001:db8::1]:3300/0,v1:[2001:db8::1]:6789/0]', ['2001:db8::1']],
    [
      'mon host = [2001:db8::1]:6789 2001:db8::2 [2001:db8::3] v1:10.0.0.4:6789',
      [...['2001:db8::1', '2001:db8::2', '2001:db8::3', '10.0.0.4']],
    ],
    ['mon host = 10.0.0.1, \\\n  10.0.0.2', ['10.0.0.1', '10.0.0.2']],
    ['# mon host = 10.0.0.1\nmon_host_override = 10.0.0.2', []],
  ])('%j', (conf, hosts) => {
    expect(monitorHosts(`[global]\nfsid = 1\n${conf}\n`)).toEqual(hosts)
  })
})

describe('connections to the storage', () => {
  it('of Ceph are those to its monitors, and to the ports of its daemons anywhere', async () => {
    writeFileSync(at('ceph.conf'), 'mon host = 10.0.0.1:7000 [v2:[2001:db8::1]:3300/0] localhost\n')
    const isStorage = await storagePeers({ driver: 'rbd', pool: 'p', image: 'i', conf: at('ceph.conf') })
    for (const address of ['10.0.0.1', '2001:0db8:0000:0000:0000:0000:0000:0001', '127.0.0.1']) {
      expect(isStorage({ address, port: 17_000 })).toBe(true)
    }
    const anywhere = (port: number): boolean => isStorage({ address: '10.0.0.9', port })
    expect([3300, 6789, 6800, 7568].map(anywhere)).toEqual([true, true, true, true])
    expect([22, 443, 6799, 7569].map(anywhere)).toEqual([false, false, false, false])
  })

  it('of Ceph are still told by their ports when its configuration cannot be read', async () => {
    const isStorage = await storagePeers({ driver: 'rbd', pool: 'p', image: 'i', conf: at('none') })
    expect(isStorage({ address: '2001:0db8:0000:0000:0000:0000:0000:0001', port: 6801 })).toBe(true)
  })

  it('of files are those to the address and port of the server', async () => {
    const server = { type: 'inet', host: 'localhost', port: '10809' } as const
    const isStorage = await storagePeers({ driver: 'nbd', server })
    expect(isStorage({ address: '127.0.0.1', port: 10_809 })).toBe(true)
    expect(isStorage({ address: '127.0.0.1', port: 10_810 })).toBe(false)
    expect(isStorage({ address: '10.0.0.1', port: 10_809 })).toBe(false)
  })
})
