// How a driver reaches vCenter: the options that all vSphere drivers have in common.

import { z } from 'zod'

export const vcenterUrl = z
  .url({ protocol: /^https?$/ })
  .refine((url) => new URL(url).username === '', {
    error: 'a URL without user name; there are options for that',
  })
  .describe('of the SDK: https://vcenter.example/sdk')

export const vcenterTls = z
  .strictObject({
    ca: z.string().optional().describe("PEM of the authority of vCenter's certificate; else the system's"),
    rejectUnauthorized: z.boolean().default(true),
  })
  .prefault({})
  .describe("ca: PEM of the authority of vCenter's certificate; rejectUnauthorized: false takes any")
