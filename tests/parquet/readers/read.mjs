// Prints the columns of a parquet file as JSON, whose numbers are text.
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'

const file = await asyncBufferFromFile(process.argv[2])
const rows = await parquetReadObjects({ file, compressors })
const told = (key, value) =>
  typeof value === 'bigint' ? String(value)
    : typeof value === 'number' ? (Object.is(value, -0) ? '-0' : String(value))
    : value instanceof Uint8Array ? Buffer.from(value).toString('hex')
    : value ?? null
const plain = value => value instanceof Date ? { date: value.getTime() }
  : value instanceof Uint8Array ? value
  : Array.isArray(value) || ArrayBuffer.isView(value) ? Array.from(value, plain)
  : value && typeof value === 'object' ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, plain(v)]))
  : value
console.log(JSON.stringify(rows.map(row => plain(row)), told))
