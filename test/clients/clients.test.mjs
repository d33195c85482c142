// The class A operations through the official JavaScript clients: each once
// with success, and the errors that applications tell apart.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

import {
  ChimeSDKMediaPipelines,
  NotFoundException as PipelineNotFoundException,
  ResourceLimitExceededException,
  paginateListMediaPipelines,
} from '@aws-sdk/client-chime-sdk-media-pipelines'
import {
  BadRequestException,
  ChimeSDKMeetings,
  NotFoundException,
  paginateListAttendees,
} from '@aws-sdk/client-chime-sdk-meetings'
import {
  ChannelNotBroadcasting,
  ConflictException,
  Ivs,
  ResourceNotFoundException,
  ValidationException,
  paginateListChannels,
} from '@aws-sdk/client-ivs'

const meetings = new ChimeSDKMeetings()
const pipelines = new ChimeSDKMediaPipelines()
const channels = new Ivs()

const newMeeting = async () => {
  const { Meeting } = await meetings.createMeeting({
    ClientRequestToken: randomUUID(),
    MediaRegion: 'us-east-1',
    ExternalMeetingId: 'rehearsal',
    NotificationsConfiguration: {},
  })
  return Meeting
}

// rejects wants a modelled error with the status, and something to read in it.
const rejects = (promise, type, status, says) =>
  assert.rejects(promise, (err) => {
    assert.ok(err instanceof type, `got ${err.name}: ${err.message}, want ${type.name}`)
    assert.equal(err.$metadata.httpStatusCode, status)
    assert.match(err.$metadata.requestId, /^[0-9a-f-]{36}$/)
    assert.match(err.message, says)
    return true
  })

test('meetings and attendees', async () => {
  const meeting = await newMeeting()
  const MeetingId = meeting.MeetingId
  assert.match(meeting.MeetingArn, new RegExp(`^arn:aws:chime:us-east-1:123456789012:meeting/${MeetingId}$`))
  assert.match(meeting.MediaPlacement.SignalingUrl, new RegExp(`^ws://.*/control/${MeetingId}$`))
  assert.ok(meeting.MediaPlacement.AudioHostUrl)

  const { Attendee } = await meetings.createAttendee({ MeetingId, ExternalUserId: '1a2b#Zoë' })
  assert.deepEqual(Attendee.Capabilities, { Audio: 'SendReceive', Video: 'SendReceive', Content: 'SendReceive' })
  const again = await meetings.getAttendee({ MeetingId, AttendeeId: Attendee.AttendeeId })
  assert.deepEqual(again.Attendee, Attendee)

  const batch = await meetings.batchCreateAttendee({
    MeetingId,
    Attendees: [{ ExternalUserId: 'u2' }, { ExternalUserId: 'aws:u3' }, { ExternalUserId: 'u4' }],
  })
  assert.deepEqual(batch.Attendees.map((a) => a.ExternalUserId), ['u2', 'u4'])
  assert.deepEqual(batch.Errors.map((e) => e.ExternalUserId), ['aws:u3'])

  const pages = []
  for await (const page of paginateListAttendees({ client: meetings, pageSize: 2 }, { MeetingId })) {
    pages.push(page.Attendees.map((a) => a.ExternalUserId))
  }
  assert.deepEqual(pages, [['1a2b#Zoë', 'u2'], ['u4']])

  await meetings.deleteAttendee({ MeetingId, AttendeeId: Attendee.AttendeeId })
  await rejects(meetings.getAttendee({ MeetingId, AttendeeId: Attendee.AttendeeId }), NotFoundException, 404, /attendee/)

  await meetings.deleteMeeting({ MeetingId })
  await rejects(meetings.getMeeting({ MeetingId }), NotFoundException, 404, new RegExp(MeetingId))
})

test('a meeting with its attendees', async () => {
  const out = await meetings.createMeetingWithAttendees({
    ClientRequestToken: randomUUID(),
    MediaRegion: 'us-east-1',
    ExternalMeetingId: 'rehearsal',
    Attendees: [{ ExternalUserId: 'u1' }, { ExternalUserId: 'u2' }],
  })
  assert.deepEqual(out.Attendees.map((a) => a.ExternalUserId), ['u1', 'u2'])
  assert.deepEqual(out.Errors, [])
  const { Meeting } = await meetings.getMeeting({ MeetingId: out.Meeting.MeetingId })
  assert.deepEqual(Meeting, out.Meeting)
})

test('what is wrong with a request is said', async () => {
  await rejects(
    meetings.createMeeting({ ClientRequestToken: 'x', MediaRegion: 'us-east-1', ExternalMeetingId: 'rehearsal' }),
    BadRequestException, 400, /ClientRequestToken must have 2 to 64 characters, got 1/,
  )
  await rejects(channels.createChannel({ name: 'a b' }), ValidationException, 400, /name must be letters/)
  await rejects(
    channels.getChannel({ arn: 'arn:aws:ivs:us-east-1:123456789012:channel/abcdefghijkl' }),
    ResourceNotFoundException, 404, /abcdefghijkl/,
  )
})

test('a stream, as existing applications make one', async () => {
  const meeting = await newMeeting()
  const { channel, streamKey } = await channels.createChannel({ latencyMode: 'NORMAL', tags: { team: 'a b' } })
  assert.equal(channel.latencyMode, 'NORMAL')
  assert.equal(channel.type, 'STANDARD')
  assert.match(channel.playbackUrl, /\/api\/video\/v1\/us-east-1\.123456789012\.channel\.[A-Za-z0-9]{12}\.m3u8$/)
  assert.deepEqual((await channels.getChannel({ arn: channel.arn })).channel, channel)
  assert.deepEqual((await channels.getStreamKey({ arn: streamKey.arn })).streamKey, streamKey)
  const keys = await channels.listStreamKeys({ channelArn: channel.arn })
  assert.deepEqual(keys.streamKeys.map((k) => k.arn), [streamKey.arn])
  await rejects(channels.getStream({ channelArn: channel.arn }), ChannelNotBroadcasting, 404, /not broadcasting/)
  await rejects(channels.stopStream({ channelArn: channel.arn }), ChannelNotBroadcasting, 404, /not broadcasting/)

  const request = {
    Sources: [{
      SourceType: 'ChimeSdkMeeting',
      ChimeSdkMeetingLiveConnectorConfiguration: {
        Arn: `arn:aws:chime::123456789012:meeting:${meeting.MeetingId}`,
        MuxType: 'AudioWithCompositedVideo',
        CompositedVideo: { Layout: 'GridView', Resolution: 'FHD', GridViewConfiguration: { ContentShareLayout: 'Vertical' } },
      },
    }],
    Sinks: [{
      SinkType: 'RTMP',
      RTMPConfiguration: {
        Url: `rtmps://${channel.ingestEndpoint}:443/app/${streamKey.value}`,
        AudioChannels: 'Stereo',
        AudioSampleRate: '48000',
      },
    }],
  }
  const created = await pipelines.createMediaLiveConnectorPipeline(request)
  assert.equal(created.$metadata.httpStatusCode, 201)
  const { MediaPipelineId, CreatedTimestamp } = created.MediaLiveConnectorPipeline
  assert.ok(Math.abs(Date.now() - CreatedTimestamp) < 60_000)
  await rejects(pipelines.createMediaLiveConnectorPipeline(request), ResourceLimitExceededException, 400, /live connector/)
  const got = await pipelines.getMediaPipeline({ MediaPipelineId })
  assert.deepEqual(got.MediaPipeline.MediaLiveConnectorPipeline.Sources, request.Sources)
  assert.deepEqual(got.MediaPipeline.MediaLiveConnectorPipeline.Sinks, request.Sinks)
  const listed = []
  for await (const page of paginateListMediaPipelines({ client: pipelines, pageSize: 1 }, {})) {
    listed.push(...page.MediaPipelines.map((p) => p.MediaPipelineId))
  }
  assert.deepEqual(listed, [MediaPipelineId])

  let stream
  while (!stream) {
    try {
      stream = (await channels.getStream({ channelArn: channel.arn })).stream
    } catch (err) {
      assert.ok(err instanceof ChannelNotBroadcasting, err)
      await sleep(100)
    }
  }
  assert.equal(stream.state, 'LIVE')
  assert.equal(stream.playbackUrl, channel.playbackUrl)
  assert.ok(Math.abs(Date.now() - stream.startTime) < 60_000)
  await rejects(channels.deleteChannel({ arn: channel.arn }), ConflictException, 409, /live/)
  await channels.stopStream({ channelArn: channel.arn })

  await pipelines.deleteMediaPipeline({ MediaPipelineId })
  await sleep(3000) // what existing applications wait
  await channels.deleteChannel({ arn: channel.arn })
  await rejects(pipelines.getMediaPipeline({ MediaPipelineId }), PipelineNotFoundException, 404, new RegExp(MediaPipelineId))
})

test('lists of channels', async () => {
  const made = []
  for (const name of ['a', 'b', 'a']) {
    made.push((await channels.createChannel({ name })).channel.arn)
  }
  const pages = []
  for await (const page of paginateListChannels({ client: channels, pageSize: 2 }, {})) {
    pages.push(page.channels.map((c) => c.arn))
  }
  assert.deepEqual(pages.map((p) => p.length), [2, 1])
  assert.deepEqual(pages.flat(), made)
  const named = await channels.listChannels({ filterByName: 'b' })
  assert.deepEqual(named.channels.map((c) => c.arn), [made[1]])
  for (const arn of made) await channels.deleteChannel({ arn })
})

test('wrong and unknown keys', async () => {
  const accessKeyId = process.env.AWS_ACCESS_KEY_ID
  const wrong = { credentials: { accessKeyId, secretAccessKey: 'wrong' } }
  const unknown = { credentials: { accessKeyId: 'AKIASOMEBODYELSE', secretAccessKey: 'x' } }
  await assert.rejects(new ChimeSDKMeetings(wrong).getMeeting({ MeetingId: randomUUID() }), { name: 'InvalidSignatureException' })
  await assert.rejects(new Ivs(wrong).listChannels({}), { name: 'InvalidSignatureException', message: /does not match/ })
  await assert.rejects(new ChimeSDKMediaPipelines(unknown).listMediaPipelines({}), { name: 'UnrecognizedClientException' })
  await assert.rejects(new Ivs(unknown).listChannels({}), { name: 'UnrecognizedClientException', message: /AKIASOMEBODYELSE/ })
})

test('a session token that is left over from elsewhere', async () => {
  const credentials = {
    accessKeyId: process.env.AWS_ACCESS_KEY_ID,
    secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY,
    sessionToken: 'left//over+token==',
  }
  assert.ok((await new ChimeSDKMediaPipelines({ credentials }).listMediaPipelines({})).MediaPipelines)
})
