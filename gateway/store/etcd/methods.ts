// What is asked of etcd, by the names of its services (https://github.com/etcd-io/etcd/blob/main/api/etcdserverpb/rpc.proto).

export const METHODS = {
  range: '/etcdserverpb.KV/Range',
  transact: '/etcdserverpb.KV/Txn',
  watch: '/etcdserverpb.Watch/Watch',
  grantLease: '/etcdserverpb.Lease/LeaseGrant',
  /** A stream by name: with one question and its end it is a call like the others. One kept open for later ones can die unseen. */
  keepLeaseAlive: '/etcdserverpb.Lease/LeaseKeepAlive',
  revokeLease: '/etcdserverpb.Lease/LeaseRevoke',
  status: '/etcdserverpb.Maintenance/Status',
  logIn: '/etcdserverpb.Auth/Authenticate',
} as const

export type Method = keyof typeof METHODS
