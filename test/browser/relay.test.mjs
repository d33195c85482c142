// Two people meet over the TLS port, and their media goes by TURN, over UDP, TCP
// and TLS: the client takes what the join names, and nothing else.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { startBelfry } from './belfry.mjs';
import { eventually, heard, isMoving, noteConnections, seen } from './browser.mjs';
import { enter, isNear, MEETING_SOUND, REMOTE, somebody } from './site.mjs';

process.env.BELFRY_RELAY = 'always'; // of the server that is started

// The certificate is of the data folder's own authority.
const flags = ['--ignore-certificate-errors'];

// only has a page use the relays whose address looks so, as an application's
// urlRewriter would.
function only(page, pattern) {
  return page.addInitScript((pattern) => {
    const fits = new RegExp(pattern);
    window.RTCPeerConnection = class extends RTCPeerConnection {
      constructor(configuration, ...rest) {
        const iceServers = configuration.iceServers?.map((s) => ({ ...s, urls: [s.urls].flat().filter((u) => fits.test(u)) }));
        super({ ...configuration, iceServers }, ...rest);
        window.told = { uris: configuration.iceServers?.flatMap((s) => s.urls), policy: configuration.iceTransportPolicy };
      }
    };
  }, pattern);
}

// way is how the newest connection's media goes.
function way(page) {
  return page.evaluate(async () => {
    const reports = await window.connections.at(-1).getStats();
    const all = [...reports.values()];
    const pair = reports.get(all.find((r) => r.type === 'transport')?.selectedCandidatePairId);
    const local = reports.get(pair?.localCandidateId);
    return { ...window.told, type: local?.candidateType, by: local?.relayProtocol, address: local?.address ?? local?.ip };
  });
}

for (const [by, pattern] of [['udp', '^turn:.*=udp'], ['tcp', '^turn:.*=tcp'], ['tls', '^turns:']]) {
  test(`two people meet through the relay by ${by}`, async (t) => {
    const server = await startBelfry(`relay-${by}`, ['--tls', '127.0.0.1:0']);
    t.after(() => server.stop());
    const site = { ...server, url: await eventually('the server says where it is', () => readFileSync(server.log, 'utf8').match(/ready at (https:[^"]+)/)?.[1], Boolean) };
    const people = [somebody('Ann', 0xd02020, 600), somebody('Bob', 0x2040d0, 1100)];
    for (const p of people) {
      await enter(site, { ...p, flags }, {
        ready: async (page) => {
          p.page = page;
          await only(page, pattern);
          await noteConnections(page);
        },
      });
      t.after(() => p.page.context().browser().close());
    }
    for (const [p, other] of [people, [...people].reverse()]) {
      await eventually(`${p.name} sees ${other.name}'s colour`, () => seen(p.page, REMOTE, [0.5, 0.5, 0.4, 0.4]), (rgb) => isNear(rgb, other.rgb), 40_000);
      await eventually(`${p.name} hears ${other.name}`, () => heard(p.page, MEETING_SOUND, [other.hertz], 1500), ([l]) => l > -45, 30_000);
      assert.ok(await isMoving(p.page, REMOTE), `${other.name}'s picture moves`);
      const w = await way(p.page);
      console.log(`measured: ${p.name} by ${by}: ${JSON.stringify(w)}`);
      assert.equal(w.policy, 'relay');
      assert.equal(w.uris.length, 3, 'one URI for UDP, TCP and TLS each');
      assert.equal(w.type, 'relay');
      assert.equal(w.by, by);
    }
  });
}
