// Properties are tried with values that nobody has tried before, and that are the same whenever this very commit is run
// again: a red run can be repeated, and a rerun is no way out of it.

import fc from 'fast-check'
import { freshSeed } from './fresh-seed.ts'

fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: freshSeed() % 2 ** 31 })

export default fc
