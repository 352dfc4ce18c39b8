// Tells when the first data packet of a Skilfish sender comes to a group.
//   node first-data.mjs GROUP
//       prints a line when it has joined, then the time of `process.hrtime.bigint()`, which all processes of a machine share
import { openUdpSocket, parseGroup, resolveInterface } from '../../dist/io/index.js'
import { PacketType, packetTypeAt } from '../../dist/protocol/index.js'

const group = parseGroup(process.argv[2], 9757)
const socket = await openUdpSocket({ group, role: 'receiver', interface: resolveInterface('eth0', group.family) })
socket.onMessage = (bytes) => {
  const nowNs = process.hrtime.bigint()
  if (packetTypeAt(bytes, 0, bytes.length) !== PacketType.data) return
  console.log(String(nowNs))
  void socket.close()
}
console.log('joined')
