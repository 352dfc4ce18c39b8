// `$comment` tells what a pattern allows, for messages: a `description` may tell what the value is for.

/** Names that become parts of paths, of RBD images and of NBD exports. */
const NAME = {
  type: 'string',
  pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$',
  $comment: '1 to 40 letters, digits, dots, underscores and hyphens, the first a letter or digit',
}

/** Commas have a meaning in QEMU's options. */
const PATH = {
  type: 'string',
  pattern: '^/[^,\\n]*$',
  description: 'An absolute path without commas',
  $comment: 'an absolute path without commas',
}

/** A word of a command line: a program cannot be started without a name, nor with a NUL, which ends words. */
const WORD = {
  type: 'string',
  maxLength: 4096,
  pattern: '^[^\\u0000]+$',
  $comment: 'one character or more, none of them NUL',
}

const WORDS = { type: 'array', maxItems: 256, items: WORD }

const HOST = {
  through: {
    ...WORDS,
    description:
      "The command that runs a program on the host, such as [ssh, '{host}']; {host} stands for the name. Default: none, this machine",
  },
  folder: {
    ...PATH,
    description: 'Where the host keeps bases and overlays, on its local disk. Default /var/lib/skilfish',
  },
  program: {
    ...WORDS,
    minItems: 1,
    description: 'The skilfish command on the host. Default [skilfish]; on this machine: this program',
  },
  interface: { type: 'string', maxLength: 64, description: 'Network interface that hears the multicast' },
}

const VM = {
  memoryMiB: { type: 'integer', minimum: 16, maximum: 16777216, description: 'Default 512' },
  cpus: { type: 'integer', minimum: 1, maximum: 1024, description: 'Default 1' },
  accelerator: {
    enum: ['auto', 'kvm', 'tcg'],
    description: 'Default auto: kvm where a test boot with it succeeds, otherwise tcg (software emulation)',
  },
  qemu: { ...WORD, description: 'Default qemu-system-x86_64' },
  kernel: PATH,
  initrd: PATH,
  append: { type: 'string', maxLength: 4096, description: "The kernel's command line" },
  arguments: { ...WORDS, description: 'More arguments of QEMU: networks, displays' },
}

/** What a description of a cluster must be, as JSON Schema (draft 7). Published as `schemas/cluster.schema.json`. */
export const CLUSTER_SCHEMA: object = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'A cluster of virtual machines for skilfish',
  type: 'object',
  additionalProperties: false,
  required: ['cluster', 'storage', 'vms'],
  properties: {
    cluster: { ...NAME, description: 'Name of the cluster' },
    storage: {
      type: 'object',
      additionalProperties: false,
      required: ['template'],
      properties: {
        template: {
          type: 'string',
          pattern: '^(rbd:[^/@][^@]*@[^@/]+|file:/[^,\\n]+)$',
          description: 'rbd:[POOL/[NAMESPACE/]]IMAGE@SNAPSHOT, or file:/PATH of a raw image',
          $comment: 'rbd:[POOL/[NAMESPACE/]]IMAGE@SNAPSHOT, or file:/PATH without commas',
        },
        cephConf: {
          ...PATH,
          description: 'Configuration of Ceph, at the same path everywhere. Default /etc/ceph/ceph.conf',
        },
        listen: {
          type: 'string',
          pattern: '^[^:\\s]+:[0-9]{1,5}$',
          description: 'ADDRESS:PORT where hosts reach this machine, for file: storage. Default 127.0.0.1:10809',
          $comment: 'ADDRESS:PORT, such as 10.0.0.1:10809',
        },
      },
    },
    transfer: {
      type: 'object',
      additionalProperties: false,
      properties: {
        group: { type: 'string', maxLength: 64, description: 'Multicast group, with or without port' },
        interface: { type: 'string', maxLength: 64, description: 'Network interface of the sender' },
        ttl: { type: 'integer', minimum: 1, maximum: 255 },
        sender: {
          ...NAME,
          description: 'Name of the host that reads a template in Ceph and sends it. Default: this machine does',
        },
        maxBitrate: {
          type: 'string',
          maxLength: 32,
          description: 'Cap of a fetch, such as 400M or 40MB/s. Default: none',
        },
        keyFile: { ...PATH, description: 'Group key, at the same path everywhere' },
      },
    },
    hostDefaults: { type: 'object', additionalProperties: false, properties: HOST },
    hosts: {
      type: 'array',
      minItems: 1,
      maxItems: 1024,
      items: { type: 'object', additionalProperties: false, required: ['name'], properties: { name: NAME, ...HOST } },
      description: 'Default: one, named local',
    },
    vmDefaults: { type: 'object', additionalProperties: false, properties: VM },
    vms: {
      type: 'array',
      minItems: 1,
      maxItems: 4096,
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['name'],
        properties: { name: NAME, host: { ...NAME, description: 'Default: the first' }, ...VM },
      },
    },
  },
}
