import { ethtool, ip, nft } from './network-commands.ts'
import { portOf } from './packet-losses.ts'

/**
 * Has what a host sends go on from its port at the bridge as copies. The kernel counts a packet against the buffer of the socket that has
 * sent it until it has left the machine, and in a lab that is the whole way: what waits at another port of the bridge would hold back a
 * socket, and keep TCP from filling a queue (TCP small queues). On a network a packet counts no more once it is on the wire. The kernel
 * forgets the socket with `dup`: a copy of a packet has none.
 */
export function freePackets(bridge: string, hostIndex: number, mtuBytes: number): void {
  const port = portOf(hostIndex)
  const mtu = `mtu ${mtuBytes}`
  ip(
    [
      `link add near ${mtu} type veth peer name far ${mtu}`,
      'link set near up',
      `link set ${port} nomaster`,
      'link set far master br0 up',
    ],
    bridge,
  )
  ethtool(bridge, 'near', 'tx-udp-segmentation off')
  nft(bridge, [
    'table netdev free {',
    `chain from-host { type filter hook ingress device ${port} priority 0; dup to near drop; }`,
    `chain to-host { type filter hook ingress device near priority 0; fwd to ${port}; }`,
    '}',
  ])
}
