import { constants } from 'node:os'
import { expect, it } from 'vitest'
import { isTransientSendError, networkError, systemError } from '../../../src/io/network-error.ts'

const withCode = (code: string): Error => Object.assign(new Error(`send ${code}`), { code })

it.each([
  ['EADDRINUSE', 'PORT_IN_USE'],
  ['ENETUNREACH', 'NO_MULTICAST_ROUTE'],
  ['ENODEV', 'NO_MULTICAST_ROUTE'],
  ['EACCES', 'NETWORK_DENIED'],
  ['EPERM', 'NETWORK_DENIED'],
  ['EMSGSIZE', 'PACKET_TOO_LARGE'],
  ['ENOBUFS', 'NETWORK_FAILED'],
  ['EAFNOSUPPORT', 'NETWORK_FAILED'],
])('reports %s as %s', (errno, code) => {
  const cause = withCode(errno)
  const error = networkError('send to 239.1.2.3:9', cause)
  expect(error).toMatchObject({ code, cause })
  expect(error.message).toMatch(/^cannot send to 239\.1\.2\.3:9: .*[^.]$/)
})

it('reports what is not an error of the system, too', () => {
  expect(networkError('send', 'odd')).toMatchObject({ code: 'NETWORK_FAILED', message: 'cannot send: odd' })
})

it.each(['EAGAIN', 'ENOBUFS', 'ENETDOWN', 'EHOSTUNREACH', 'ECONNREFUSED'])('takes %s for transient', (errno) => {
  expect(isTransientSendError(withCode(errno))).toBe(true)
  expect(isTransientSendError(networkError('send', withCode(errno)))).toBe(true)
})

it.each(['ENETUNREACH', 'EPERM', 'EMSGSIZE', 'EINVAL', 'EBADF'])('does not take %s for transient', (errno) => {
  expect(isTransientSendError(networkError('send', withCode(errno)))).toBe(false)
})

it('does not take what is no error of the system for transient', () => {
  expect(isTransientSendError(new Error('EAGAIN'))).toBe(false)
  expect(isTransientSendError(undefined)).toBe(false)
})

it('names the error of a system call as Node.js does', () => {
  expect(systemError('bind', -constants.errno.EADDRINUSE)).toMatchObject({
    code: 'EADDRINUSE',
    syscall: 'bind',
    message: 'bind EADDRINUSE',
  })
})
