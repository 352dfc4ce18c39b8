/** What a process ends with, by the thing its caller would do differently. The same table is in `docs/errors.md`. */
export const EXIT_STATUS = {
  success: 0,
  internal: 1,
  usage: 2,
  nobody: 3,
  receiversFailed: 4,
  storage: 5,
  network: 6,
  peerLost: 7,
  refused: 8,
  interrupted: 130,
} as const

export type ExitName = keyof typeof EXIT_STATUS

/** What each status tells the caller of a program, in a few words. `--help` and `docs/errors.md` show them. */
export const EXIT_MEANING: Readonly<Record<ExitName, string>> = {
  success: 'Done; of a transfer: the whole image is verified and written everywhere',
  internal: 'A fault in this program',
  usage: 'An option or argument cannot be used',
  nobody: 'Nobody came in time: no sender, or too few receivers',
  receiversFailed: 'Some receivers, machines or hosts failed; they are named',
  storage: 'The source, the target, the spool or the storage failed',
  network: 'The network or the interface failed',
  peerLost: 'The other end was lost, gave up, or dropped this one',
  refused: 'The two ends, or a command and its cluster, do not fit together',
  interrupted: 'Stopped by Ctrl-C, or by the signal INT, TERM or HUP',
}

export interface ErrorEntry {
  /** What has happened, in one sentence. */
  readonly meaning: string
  /** What the user can do about it. */
  readonly remedy: string
  readonly exit: ExitName
}

/**
 * Every fault of the world that this program can report: stable code, meaning, what to do, exit status.
 * `docs/errors.md` is generated from this table; a test holds the two together.
 */
const ERRORS = {
  OPTION_INVALID: {
    meaning: 'An option or argument cannot be used as given',
    remedy: 'Correct the option; --help lists the forms',
    exit: 'usage',
  },
  KEY_UNREADABLE: {
    meaning: 'A key file is not there, or may not be read',
    remedy: 'Check the path and its permissions; skilfish-keygen makes key files',
    exit: 'usage',
  },
  KEY_EXPOSED: {
    meaning: 'A secret key file is open to others than its owner',
    remedy: 'Run chmod 600 on the file; if others may have read it, make a new key',
    exit: 'usage',
  },
  KEY_INVALID: {
    meaning: 'A key file or passphrase does not hold what it should',
    remedy: 'Put right what the message names; key files are made with skilfish-keygen, and copied unchanged',
    exit: 'usage',
  },
  KEY_EXISTS: {
    meaning: 'A key file would be overwritten',
    remedy: 'Name another file, or remove the old one if nobody needs it any more',
    exit: 'usage',
  },
  KEY_UNWRITABLE: {
    meaning: 'A key file cannot be made',
    remedy: 'Name a file in a folder that exists and that this user may write',
    exit: 'storage',
  },
  SOURCE_NOT_FOUND: {
    meaning: 'The source does not exist',
    remedy: 'Check the path',
    exit: 'storage',
  },
  SOURCE_DENIED: {
    meaning: 'The source may not be read',
    remedy: 'Run as a user who may read it, or change its permissions',
    exit: 'storage',
  },
  SOURCE_UNSUPPORTED: {
    meaning: 'The source is neither a file, a block device, an RBD image nor a pipe',
    remedy: 'Name a regular file, a block device or an RBD image, or pipe the data in with -',
    exit: 'storage',
  },
  SOURCE_BUSY: {
    meaning: 'The source is being received, or another program has locked it',
    remedy: 'Wait until that has ended (see lslocks), then send',
    exit: 'storage',
  },
  SOURCE_INCOMPLETE: {
    meaning: 'The source is the unfinished target of another transfer',
    remedy:
      'Finish it with skilfish-recv --resume, or receive it again; to send its bytes as they are, pipe them in with -',
    exit: 'storage',
  },
  SOURCE_FAILED: {
    meaning: 'Reading the source failed',
    remedy: 'Check the device and the kernel log, then send again',
    exit: 'storage',
  },
  SOURCE_CHANGED: {
    meaning: 'The source changed while it was being sent',
    remedy: 'Stop whatever writes to it (or send a snapshot), then send again',
    exit: 'storage',
  },
  SOURCE_UNORDERED: {
    meaning: 'The source yielded extents that overlap or go back',
    remedy: 'Yield extents by ascending offset, each beginning at or after the end of the one before',
    exit: 'storage',
  },
  RBD_STREAM_INVALID: {
    meaning: 'What should be a stream of the rbd tool is damaged, or of a kind that this program does not know',
    remedy: 'Export it again; if it happens again, check the versions of Ceph and of this program',
    exit: 'storage',
  },
  RBD_MISSING: {
    meaning: 'The program rbd, which does the work for RBD images, cannot be started',
    remedy: 'Install it (Debian package ceph-common)',
    exit: 'storage',
  },
  RBD_UNREACHABLE: {
    meaning: 'The Ceph cluster does not answer, or does not let this user in',
    remedy: 'Check the cluster and the way to it (ceph status), and CEPH_CONF and CEPH_ARGS in the environment',
    exit: 'storage',
  },
  SPOOL_FAILED: {
    meaning: 'The spool file cannot be made, written or read',
    remedy: 'Choose a --spool path on a disk with room for the whole image',
    exit: 'storage',
  },
  TARGET_NOT_FOUND: {
    meaning:
      'The target is a device that does not exist, a file in a folder that does not, or an image in a pool that does not',
    remedy: 'Create the folder or the pool, or correct the path',
    exit: 'storage',
  },
  TARGET_DENIED: {
    meaning: 'The target may not be written',
    remedy: 'Run as a user who may write it, or change its permissions',
    exit: 'storage',
  },
  TARGET_BUSY: {
    meaning: 'The target is mounted or in use: being sent, received to, or locked by another program',
    remedy: 'End whatever uses it (see findmnt, lsblk and lslocks, or rbd status), then receive again',
    exit: 'storage',
  },
  TARGET_TOO_SMALL: {
    meaning: 'The target is smaller than the image',
    remedy: 'Use a larger device',
    exit: 'storage',
  },
  TARGET_SIZE_DIFFERS: {
    meaning: 'The target is an RBD image of another size than what is received',
    remedy: 'Name an image that does not exist yet, or make this one as large (rbd resize)',
    exit: 'storage',
  },
  TARGET_FULL: {
    meaning: 'No space is left for the target',
    remedy: 'Free space on that file system and receive again with --resume to keep what is there, or use another one',
    exit: 'storage',
  },
  TARGET_UNSUPPORTED: {
    meaning: 'The target is neither a file, a block device nor a pipe, or lacks what an option needs',
    remedy: 'Name a regular file or a block device, or leave out the option that the message names',
    exit: 'storage',
  },
  TARGET_FAILED: {
    meaning: 'Writing the target failed',
    remedy: 'See the reason, and of a device the kernel log; then receive again',
    exit: 'storage',
  },
  TARGET_CLOSED: {
    meaning: 'The program that reads our output has gone',
    remedy: 'Check the command behind the pipe',
    exit: 'storage',
  },
  TARGET_UNFINISHED: {
    meaning: 'The target to be verified is not complete',
    remedy: 'Go on with skilfish-recv --resume, or receive it again; then verify',
    exit: 'storage',
  },
  TARGET_DIFFERS: {
    meaning: 'The target is not what was received: it was written to since, or its disk has failed',
    remedy: 'Receive it again; if nothing has written to it, check the disk and the memory',
    exit: 'storage',
  },
  FINGERPRINT_MISSING: {
    meaning: 'There is no fingerprint of the target to check it against, or the one that was kept is damaged',
    remedy: 'Give --fingerprint with what skilfish-recv has told at its end (with --json: fingerprint of the result)',
    exit: 'storage',
  },
  JOURNAL_REFUSED: {
    meaning: 'The journal of an unfinished target is damaged, or is not of this target or this image',
    remedy: 'Receive the image that the journal is of, or leave out --resume (or remove the journal) to begin anew',
    exit: 'storage',
  },
  JOURNAL_FAILED: {
    meaning: 'The journal cannot be read or written',
    remedy: 'Name a place with --journal where this user may write, on a disk with some room',
    exit: 'storage',
  },
  INTERFACE_NOT_FOUND: {
    meaning: 'No network interface that is up has that name or address',
    remedy:
      'Choose one of the interfaces that the message lists, or set the one that is meant up (ip link, ip address)',
    exit: 'network',
  },
  NO_MULTICAST_ROUTE: {
    meaning: 'The system has no route for multicast packets',
    remedy: 'Name the interface with --interface, or add a route (ip route add 224.0.0.0/4 dev IFACE)',
    exit: 'network',
  },
  PORT_IN_USE: {
    meaning: 'Another program holds the UDP port',
    remedy:
      'Choose another port, of the group (--group ADDRESS:PORT) or for feedback (--feedback-port), or end the other program (see ss -ulpn)',
    exit: 'network',
  },
  NETWORK_DENIED: {
    meaning: 'The system does not let this user send to or receive from the group',
    remedy: 'Check firewall rules and permissions for the group and port',
    exit: 'network',
  },
  PACKET_TOO_LARGE: {
    meaning: 'The network does not carry packets of this size',
    remedy: 'Set --mtu to the smallest MTU on the way to the receivers',
    exit: 'network',
  },
  NETWORK_FAILED: {
    meaning: 'The network refused a packet',
    remedy: 'Check that the interface is up and has an address',
    exit: 'network',
  },
  NO_RECEIVERS: {
    meaning: 'Too few receivers came in time',
    remedy: 'Start the receivers, check that both ends name the same group and interface, or raise --start-timeout',
    exit: 'nobody',
  },
  NO_SENDER: {
    meaning: 'No sender was heard in time',
    remedy: 'Start the sender, check that both ends name the same group and interface, or raise --start-timeout',
    exit: 'nobody',
  },
  RECEIVERS_FAILED: {
    meaning: 'Some receivers did not get the whole image',
    remedy: 'See the list of receivers; start those again, with --resume to keep what they have, and send again',
    exit: 'receiversFailed',
  },
  SENDER_LOST: {
    meaning: 'The sender fell silent before the image was complete',
    remedy: 'Check the sender and the network, then start both again, skilfish-recv with --resume to keep what it has',
    exit: 'peerLost',
  },
  SENDER_ABORTED: {
    meaning: 'The sender gave up',
    remedy:
      'See the reason that the sender gave, then start both again, skilfish-recv with --resume to keep what it has',
    exit: 'peerLost',
  },
  RECEIVER_DROPPED: {
    meaning: 'The sender dropped this receiver',
    remedy: 'See the reason that the sender gave; use --on-slow wait or a lower --max-bitrate for slow receivers',
    exit: 'peerLost',
  },
  DATA_GONE: {
    meaning: 'This receiver needs data that the sender no longer has',
    remedy: 'Start the receiver before the sender, or send from a file, or give the sender --spool PATH',
    exit: 'peerLost',
  },
  VERSION_REFUSED: {
    meaning: 'The other end speaks another version of the protocol',
    remedy: 'Install the same major version of skilfish at both ends',
    exit: 'refused',
  },
  CODEC_REFUSED: {
    meaning: 'The session is compressed in a way that this program cannot undo',
    remedy: 'Use a newer Node.js here, or send with --compress lzo',
    exit: 'refused',
  },
  SESSION_UNSUITABLE: {
    meaning: 'The session has parameters that this program cannot take',
    remedy: 'Send with the default --slice-size and --mtu',
    exit: 'refused',
  },
  IMAGE_REFUSED: {
    meaning: 'The session sends another image than this receiver is to take',
    remedy: 'Give both ends the same --image-id; to wait for the right session, give --start-timeout',
    exit: 'refused',
  },
  KEY_NEEDED: {
    meaning: 'The session is keyed, and this receiver has no group key',
    remedy: "Give --key-file with a copy of the sender's group key",
    exit: 'refused',
  },
  KEY_REFUSED: {
    meaning: 'The session is keyed with another group key',
    remedy:
      'Give both ends the same key file; if they have it, somebody on the network forges sessions: wait with --start-timeout',
    exit: 'refused',
  },
  SIGNATURE_REFUSED: {
    meaning: 'The session is signed with another key',
    remedy: "Give --verify-key with the public key of the sender's --sign-key",
    exit: 'refused',
  },
  SESSION_UNTRUSTED: {
    meaning: 'The session lacks the group key or the signature that this receiver asks for',
    remedy: 'Send with --key-file or --sign-key as this receiver was told to expect',
    exit: 'refused',
  },
  DIGEST_MISMATCH: {
    meaning: 'The received image does not match the digest of the source',
    remedy: 'Receive again; if it happens again, check memory and disk of both machines',
    exit: 'storage',
  },
  QMP_UNREACHABLE: {
    meaning: 'No QEMU answers on the QMP socket of a virtual machine',
    remedy:
      'Check that it runs, that it was started with -qmp unix:PATH,server=on,wait=off, and that nobody else is connected',
    exit: 'peerLost',
  },
  QMP_INVALID: {
    meaning: 'What came from a QMP socket is not what QEMU sends, or not of a version that this program knows',
    remedy: 'Check the path of the socket, and the version of QEMU',
    exit: 'refused',
  },
  QMP_REFUSED: {
    meaning: 'QEMU refused a command',
    remedy: 'See the reason that QEMU gave',
    exit: 'refused',
  },
  QMP_TIMEOUT: {
    meaning: 'QEMU did not answer a command, or something did not happen in it, in time',
    remedy: 'Check whether the storage behind its disks hangs',
    exit: 'peerLost',
  },
  QMP_CLOSED: {
    meaning: 'The connection to QEMU ended',
    remedy:
      'Check whether the virtual machine still runs, by skilfish status; why it ended, the log of its host may tell',
    exit: 'peerLost',
  },
  CLUSTER_UNREADABLE: {
    meaning: 'The description of a cluster is not there, or may not be read',
    remedy: 'Name a file that describes a cluster, and that this user may read',
    exit: 'usage',
  },
  CLUSTER_INVALID: {
    meaning: 'The description of a cluster cannot be used',
    remedy: 'Correct the file at the place that is named; schemas/cluster.schema.json describes all of it',
    exit: 'usage',
  },
  CLUSTER_BUSY: {
    meaning: 'Another deployer works at the cluster',
    remedy: 'Wait until it has ended; if it has died, its lease ends within a minute',
    exit: 'refused',
  },
  CLUSTER_FAILED: {
    meaning: 'An operation failed for some virtual machines or hosts; they are named',
    remedy: 'See the reasons; the same command goes on where it stopped',
    exit: 'receiversFailed',
  },
  HOST_FAILED: {
    meaning: 'A host could not be reached, or something on it failed',
    remedy:
      'See the reason; if the host was not reached, check that the command which leads to it works by itself, and that skilfish of the same version is there',
    exit: 'peerLost',
  },
  VM_DOWN: {
    meaning: 'A virtual machine does not run',
    remedy: 'Boot it first',
    exit: 'refused',
  },
  VM_STATE: {
    meaning: 'An operation does not fit the state of a virtual machine',
    remedy: 'See skilfish status, and do what is named first',
    exit: 'refused',
  },
  QEMU_FAILED: {
    meaning: 'A program of QEMU cannot be started or failed',
    remedy:
      'Install QEMU and its block drivers (Debian: qemu-system-x86, qemu-utils, qemu-block-extra), and see what it says',
    exit: 'storage',
  },
  NBD_FAILED: {
    meaning: 'An NBD server refuses, breaks the protocol, or does not answer',
    remedy: 'Check that it runs and can be reached',
    exit: 'storage',
  },
  STORAGE_FAILED: {
    meaning: 'The shared storage refused an operation on an image',
    remedy: 'See what it says',
    exit: 'storage',
  },
  BASE_UNFIT: {
    meaning: 'The local copy of a base is not there, not complete, or not what was received',
    remedy: 'Fetch again',
    exit: 'storage',
  },
  SWITCH_REFUSED: {
    meaning: 'A virtual machine cannot be switched to its local base now; it goes on over the storage',
    remedy: 'See the reason, then switch again',
    exit: 'refused',
  },
  SWITCH_FAILED: {
    meaning: 'A switch was begun and is not complete; the virtual machine has a right base all the same',
    remedy: 'Switch again',
    exit: 'storage',
  },
  COMMIT_FAILED: {
    meaning: 'Changes could not be written to the storage, or not be read back',
    remedy: 'Commit again: the image is rolled back, and the overlay has kept all changes',
    exit: 'storage',
  },
  INTERRUPTED: {
    meaning: 'The program was stopped by its user',
    remedy: 'Start it again; a transfer at both ends, skilfish-recv with --resume to keep what it has',
    exit: 'interrupted',
  },
} as const

export type ErrorCode = keyof typeof ERRORS

/** The table again, with one type for every row. */
export const ERROR_TABLE: Readonly<Record<ErrorCode, ErrorEntry>> = ERRORS

/**
 * A fault of the world (not of the caller's code): carries a stable `code`, a message with the current and the wanted
 * state, and the underlying `cause`. Mistakes in calling the library are `TypeError` and `RangeError` instead.
 */
export class SkilfishError extends Error {
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.name = 'SkilfishError'
    this.code = code
  }

  /** What the user can do about it: one sentence, the same for every error of this code. */
  get remedy(): string {
    return ERROR_TABLE[this.code].remedy
  }

  /** What a process that fails with this error exits with. */
  get exitStatus(): number {
    return EXIT_STATUS[ERROR_TABLE[this.code].exit]
  }
}
