// Makes the calls that come in as lines of JSON with the AWS SDK for JavaScript
// and writes what came of them; see process.go.
import { createInterface } from "node:readline";

import * as meetings from "@aws-sdk/client-chime-sdk-meetings";
import * as pipelines from "@aws-sdk/client-chime-sdk-media-pipelines";
import * as ivs from "@aws-sdk/client-ivs";

const services = {
  meetings: [meetings, meetings.ChimeSDKMeetingsClient],
  pipelines: [pipelines, pipelines.ChimeSDKMediaPipelinesClient],
  ivs: [ivs, ivs.IvsClient],
};

const made = new Map();

function clientFor(call) {
  const key = JSON.stringify([call.Service, call.Endpoint, call.Region, call.AccessKeyID, call.Secret, call.SessionToken]);
  if (!call.Fresh && made.has(key)) return made.get(key);
  const Client = services[call.Service][1];
  const client = new Client({
    endpoint: call.Endpoint || undefined,
    region: call.Region || undefined,
    credentials: call.AccessKeyID ? { accessKeyId: call.AccessKeyID, secretAccessKey: call.Secret, sessionToken: call.SessionToken || undefined } : undefined,
  });
  if (!call.Fresh) made.set(key, client);
  return client;
}

function success({ $metadata, ...output }) {
  return { Output: output, Status: $metadata.httpStatusCode, RequestID: $metadata.requestId };
}

async function make(call) {
  const [module] = services[call.Service];
  const Command = module[call.Operation + "Command"];
  if (!Command) return { Unknown: true };
  const client = clientFor(call);
  try {
    if (!call.PageSize) return success(await client.send(new Command(call.Input)));
    const paginate = module["paginate" + call.Operation];
    if (!paginate) return { Trouble: `the client has no paginator for ${call.Operation}` };
    const pages = [];
    let last;
    for await (const page of paginate({ client, pageSize: call.PageSize }, call.Input)) {
      last = success(page);
      pages.push(last.Output);
    }
    return { Pages: pages, Status: last.Status, RequestID: last.RequestID };
  } catch (err) {
    if (!err.$metadata?.httpStatusCode) return { Trouble: String(err.stack ?? err) };
    return {
      Status: err.$metadata.httpStatusCode,
      RequestID: err.$metadata.requestId,
      Error: { Type: err.name, Modelled: err.constructor.name === err.name, Message: err.message, Text: err.message },
    };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const call = JSON.parse(line);
  make(call).then((result) => process.stdout.write(JSON.stringify({ Call: call.Call, ...result }) + "\n"));
}
