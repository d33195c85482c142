package clients_test

// channelARN and the like are of nothing that exists.
const (
	noChannel   = "arn:aws:ivs:us-east-1:$account:channel/abcdefghijkl"
	noStreamKey = "arn:aws:ivs:us-east-1:$account:stream-key/abcdefghijkl"
	noRecording = "arn:aws:ivs:us-east-1:$account:recording-configuration/abcdefghijkl"
	noKeyPair   = "arn:aws:ivs:us-east-1:$account:playback-key/abcdefghijkl"
	noPolicy    = "arn:aws:ivs:us-east-1:$account:playback-restriction-policy/abcdefghijkl"

	ivsTags   = `{"$oddKey": "$oddValue", "$blankKey": "日本"}`
	recording = `{"name": "kept", "destinationConfiguration": {"s3": {"bucketName": "recordings"}}, "tags": ` + ivsTags + `,
		"thumbnailConfiguration": {"recordingMode": "INTERVAL", "targetIntervalSeconds": 30}}`
)

// neverSucceeds are operations that no setting of the server makes succeed.
var neverSucceeds = map[string]bool{"ivs PutMetadata": true} // there is no timed metadata

var channelScenarios = []scenario{
	{"channels", []step{
		{
			call: "ivs CreateChannel", in: `{"name": "a", "latencyMode": "NORMAL", "tags": ` + ivsTags + `}`,
			want: `{"channel": {"arn": "$channel", "name": "a", "latencyMode": "NORMAL", "type": "STANDARD", "authorized": false, "ingestEndpoint": "~[^:/]+",
					"playbackUrl": "~http.+/api/video/v1/us-east-1.$account.channel.[A-Za-z0-9]{12}.m3u8", "recordingConfigurationArn": "", "tags": ` + ivsTags + `},
				"streamKey": {"arn": "$key", "value": "~sk_us-east-1_.+", "channelArn": "$channel"}}`,
		},
		{call: "ivs CreateChannel", in: `{"name": "a b"}`, fails: "ValidationException", says: "name must be"},
		{call: "ivs CreateChannel", in: `{"recordingConfigurationArn": "` + noRecording + `"}`, fails: "ResourceNotFoundException", says: "abcdefghijkl"},
		{call: "ivs GetChannel", in: `{"arn": "$channel"}`, want: `{"channel": {"arn": "$channel", "tags": ` + ivsTags + `}}`},
		{call: "ivs GetChannel", in: `{"arn": "` + noChannel + `"}`, fails: "ResourceNotFoundException", says: noChannel},
		{
			call: "ivs UpdateChannel", in: `{"arn": "$channel", "name": "b", "authorized": true, "type": "BASIC"}`,
			want: `{"channel": {"arn": "$channel", "name": "b", "authorized": true, "type": "BASIC", "latencyMode": "NORMAL"}}`,
		},
		{call: "ivs UpdateChannel", in: `{"arn": "` + noChannel + `", "name": "b"}`, fails: "ResourceNotFoundException", says: noChannel},
		{call: "ivs CreateChannel", in: `{"name": "b"}`, want: `{"channel": {"arn": "$second", "latencyMode": "LOW"}}`},
		{call: "ivs CreateChannel", in: `{"name": "c"}`, want: `{"channel": {"arn": "$third"}}`},
		{
			call: "ivs ListChannels", in: `{}`, page: 2,
			pages: `[{"channels": [{"arn": "~.+", "playbackUrl": null}, {"arn": "~.+"}], "nextToken": "~.+"}, {"channels": [{"arn": "~.+"}], "nextToken": null}]`,
		},
		{
			call: "ivs ListChannels", in: `{"filterByName": "b"}`, page: 1,
			pages: `[{"channels": [{"name": "b"}], "nextToken": "~.+"}, {"channels": [{"name": "b"}], "nextToken": null}]`,
		},
		{
			call: "ivs ListChannels", in: `{"filterByName": "b", "filterByRecordingConfigurationArn": "` + noRecording + `"}`,
			fails: "ConflictException", says: "filter",
		},
		{
			call: "ivs BatchGetChannel", in: `{"arns": ["$channel", "` + noChannel + `"]}`,
			want: `{"channels": [{"arn": "$channel", "name": "b"}], "errors": [{"arn": "` + noChannel + `", "code": "~.+", "message": "~.+"}]}`,
		},
		{call: "ivs BatchGetChannel", in: `{"arns": ["arn:aws:ivs:nonsense"]}`, fails: "ValidationException", says: "arns[0]"},

		{call: "ivs GetStreamKey", in: `{"arn": "$key"}`, want: `{"streamKey": {"arn": "$key", "channelArn": "$channel", "value": "$value"}}`},
		{call: "ivs GetStreamKey", in: `{"arn": "` + noStreamKey + `"}`, fails: "ResourceNotFoundException", says: noStreamKey},
		{
			call: "ivs CreateStreamKey", in: `{"channelArn": "$channel", "tags": ` + ivsTags + `}`,
			want: `{"streamKey": {"arn": "$key2", "channelArn": "$channel", "value": "~sk_.+", "tags": ` + ivsTags + `}}`,
		},
		{call: "ivs CreateStreamKey", in: `{"channelArn": "$channel"}`, want: `{"streamKey": {"arn": "$key3"}}`},
		{call: "ivs CreateStreamKey", in: `{"channelArn": "$channel"}`, fails: "ServiceQuotaExceededException", says: "key"},
		{
			call: "ivs ListStreamKeys", in: `{"channelArn": "$channel"}`, page: 2,
			pages: `[{"streamKeys": [{"channelArn": "$channel", "value": null}, {"channelArn": "$channel"}], "nextToken": "~.+"},
				{"streamKeys": [{"channelArn": "$channel"}], "nextToken": null}]`,
		},
		{
			call: "ivs ListStreamKeys", in: `{"channelArn": "$channel"}`,
			want: `{"streamKeys": [{"channelArn": "$channel"}], "nextToken": "~.+"}`, // one at a time unless asked for more
		},
		{call: "ivs ListStreamKeys", in: `{"channelArn": "` + noChannel + `"}`, fails: "ResourceNotFoundException", says: noChannel},
		{
			call: "ivs BatchGetStreamKey", in: `{"arns": ["` + noStreamKey + `", "$key2"]}`,
			want: `{"streamKeys": [{"arn": "$key2", "value": "~sk_.+"}], "errors": [{"arn": "` + noStreamKey + `"}]}`,
		},
		{call: "ivs BatchGetStreamKey", in: `{"arns": ["arn:aws:ivs:nonsense"]}`, fails: "ValidationException", says: "arns[0]"},
		{call: "ivs DeleteStreamKey", in: `{"arn": "$key2"}`},
		{call: "ivs DeleteStreamKey", in: `{"arn": "$key2"}`, fails: "ResourceNotFoundException", says: "$key2"},

		{call: "ivs TagResource", in: `{"resourceArn": "$channel", "tags": {"z": "", "$blankKey": "new", "$oddKey": "new"}}`, want: `{}`},
		{
			call: "ivs ListTagsForResource", in: `{"resourceArn": "$channel"}`,
			want: `{"tags": {"z": "", "$blankKey": "new", "$oddKey": "new"}}`,
		},
		{call: "ivs UntagResource", in: `{"resourceArn": "$channel", "tagKeys": ["$blankKey", "$oddKey", "not there"]}`, want: `{}`},
		{call: "ivs ListTagsForResource", in: `{"resourceArn": "$channel"}`, want: `{"tags": {"z": "", "$oddKey": null, "$blankKey": null}}`},
		{call: "ivs ListTagsForResource", in: `{"resourceArn": "` + noChannel + `"}`, fails: "ResourceNotFoundException", says: "channel not found"},
		{call: "ivs TagResource", in: `{"resourceArn": "` + noChannel + `", "tags": {"a": "b"}}`, fails: "ResourceNotFoundException", says: "channel not found"},
		{call: "ivs UntagResource", in: `{"resourceArn": "` + noChannel + `", "tagKeys": ["a"]}`, fails: "ResourceNotFoundException", says: "channel not found"},

		{call: "ivs DeleteChannel", in: `{"arn": "$channel"}`},
		{call: "ivs DeleteChannel", in: `{"arn": "$channel"}`, fails: "ResourceNotFoundException", says: "$channel"},
	}},
	{"recordings", []step{
		{
			call: "ivs CreateRecordingConfiguration", in: recording,
			want: `{"recordingConfiguration": {"arn": "$first", "name": "kept", "state": "~CREATING|ACTIVE", "tags": ` + ivsTags + `,
				"destinationConfiguration": {"s3": {"bucketName": "recordings"}}, "thumbnailConfiguration": {"targetIntervalSeconds": 30}}}`,
		},
		{
			call: "ivs CreateRecordingConfiguration", in: `{"destinationConfiguration": {"s3": {"bucketName": "Capitals"}}}`,
			fails: "ValidationException", says: "bucketName",
		},
		{call: "ivs GetRecordingConfiguration", in: `{"arn": "$first"}`, want: `{"recordingConfiguration": {"state": "ACTIVE"}}`, until: true},
		{call: "ivs GetRecordingConfiguration", in: `{"arn": "` + noRecording + `"}`, fails: "ResourceNotFoundException", says: noRecording},
		{
			call: "ivs CreateRecordingConfiguration", in: `{"destinationConfiguration": {"s3": {"bucketName": "others"}}}`,
			want: `{"recordingConfiguration": {"arn": "$second"}}`,
		},
		{
			call: "ivs ListRecordingConfigurations", in: `{}`, page: 1,
			pages: `[{"recordingConfigurations": [{"arn": "~.+"}], "nextToken": "~.+"}, {"recordingConfigurations": [{"arn": "~.+"}], "nextToken": null}]`,
		},
		{call: "ivs ListRecordingConfigurations", in: `{"maxResults": 101}`, fails: "ValidationException", says: "101"},
		{call: "ivs CreateChannel", in: `{"recordingConfigurationArn": "$first"}`, want: `{"channel": {"arn": "$channel", "recordingConfigurationArn": "$first"}}`},
		{call: "ivs ListChannels", in: `{"filterByRecordingConfigurationArn": "$first"}`, want: `{"channels": [{"arn": "$channel"}]}`},
		{call: "ivs DeleteRecordingConfiguration", in: `{"arn": "$first"}`, fails: "ConflictException", says: "channel"},
		{call: "ivs DeleteRecordingConfiguration", in: `{"arn": "$second"}`, until: true}, // once it is made
		{call: "ivs DeleteChannel", in: `{"arn": "$channel"}`},
	}},
	{"playback keys", []step{
		{
			call: "ivs ImportPlaybackKeyPair", in: `{"publicKeyMaterial": "$publicKey1", "name": "viewers", "tags": ` + ivsTags + `}`,
			want: `{"keyPair": {"arn": "$first", "name": "viewers", "fingerprint": "~([0-9a-f]{2}:){15}[0-9a-f]{2}", "tags": ` + ivsTags + `}}`,
		},
		{call: "ivs ImportPlaybackKeyPair", in: `{"publicKeyMaterial": "$publicKey1"}`, fails: "ConflictException", says: "key"},
		{call: "ivs GetPlaybackKeyPair", in: `{"arn": "$first"}`, want: `{"keyPair": {"arn": "$first", "name": "viewers", "fingerprint": "~.+"}}`},
		{call: "ivs GetPlaybackKeyPair", in: `{"arn": "` + noKeyPair + `"}`, fails: "ResourceNotFoundException", says: noKeyPair},
		{call: "ivs ImportPlaybackKeyPair", in: `{"publicKeyMaterial": "$publicKey2"}`, want: `{"keyPair": {"arn": "$second"}}`},
		{
			call: "ivs ListPlaybackKeyPairs", in: `{}`, page: 1,
			pages: `[{"keyPairs": [{"arn": "~.+", "fingerprint": null}], "nextToken": "~.+"}, {"keyPairs": [{"arn": "~.+"}], "nextToken": null}]`,
		},
		{call: "ivs ListPlaybackKeyPairs", in: `{"nextToken": "made-up"}`, fails: "ValidationException", says: "nextToken"},
		{call: "ivs DeletePlaybackKeyPair", in: `{"arn": "$first"}`, want: `{}`},
		{call: "ivs DeletePlaybackKeyPair", in: `{"arn": "$first"}`, fails: "ResourceNotFoundException", says: "$first"},
	}},
	{"restriction policies", []step{
		{
			call: "ivs CreatePlaybackRestrictionPolicy",
			in:   `{"name": "here", "allowedOrigins": ["https://*.example.com"], "enableStrictOriginEnforcement": true, "tags": ` + ivsTags + `}`,
			want: `{"playbackRestrictionPolicy": {"arn": "$policy", "name": "here", "allowedOrigins": ["https://*.example.com"], "allowedCountries": [],
				"enableStrictOriginEnforcement": true, "tags": ` + ivsTags + `}}`,
		},
		{
			call: "ivs CreatePlaybackRestrictionPolicy", in: `{"allowedCountries": ["DE"]}`,
			fails: "ValidationException", says: "allowedCountries",
		},
		{
			call: "ivs GetPlaybackRestrictionPolicy", in: `{"arn": "$policy"}`,
			want: `{"playbackRestrictionPolicy": {"arn": "$policy", "name": "here"}}`,
		},
		{call: "ivs GetPlaybackRestrictionPolicy", in: `{"arn": "` + noPolicy + `"}`, fails: "ResourceNotFoundException", says: noPolicy},
		{
			call: "ivs UpdatePlaybackRestrictionPolicy", in: `{"arn": "$policy", "name": "there"}`,
			want: `{"playbackRestrictionPolicy": {"arn": "$policy", "name": "there", "allowedOrigins": ["https://*.example.com"]}}`,
		},
		{call: "ivs UpdatePlaybackRestrictionPolicy", in: `{"arn": "` + noPolicy + `"}`, fails: "ResourceNotFoundException", says: noPolicy},
		{call: "ivs CreatePlaybackRestrictionPolicy", in: `{}`, want: `{"playbackRestrictionPolicy": {"arn": "$second"}}`},
		{
			call: "ivs ListPlaybackRestrictionPolicies", in: `{}`, page: 1,
			pages: `[{"playbackRestrictionPolicies": [{"arn": "~.+"}], "nextToken": "~.+"},
				{"playbackRestrictionPolicies": [{"arn": "~.+"}], "nextToken": null}]`,
		},
		{call: "ivs ListPlaybackRestrictionPolicies", in: `{"maxResults": 101}`, fails: "ValidationException", says: "101"},
		{
			call: "ivs CreateChannel", in: `{"playbackRestrictionPolicyArn": "$policy"}`,
			want: `{"channel": {"arn": "$channel", "playbackRestrictionPolicyArn": "$policy"}}`,
		},
		{call: "ivs DeletePlaybackRestrictionPolicy", in: `{"arn": "$policy"}`, fails: "ConflictException", says: "channel"},
		{call: "ivs DeletePlaybackRestrictionPolicy", in: `{"arn": "$second"}`},
		{call: "ivs StartViewerSessionRevocation", in: `{"channelArn": "$channel", "viewerId": "ann", "viewerSessionVersionsLessThanOrEqualTo": 3}`, want: `{}`},
		{
			call: "ivs StartViewerSessionRevocation", in: `{"channelArn": "` + noChannel + `", "viewerId": "ann"}`,
			fails: "ResourceNotFoundException", says: noChannel,
		},
		{
			call: "ivs BatchStartViewerSessionRevocation",
			in:   `{"viewerSessions": [{"channelArn": "$channel", "viewerId": "bob"}, {"channelArn": "` + noChannel + `", "viewerId": "eve"}]}`,
			want: `{"errors": [{"channelArn": "` + noChannel + `", "viewerId": "eve", "code": "~.+", "message": "~.+"}]}`,
		},
		{
			call: "ivs BatchStartViewerSessionRevocation", in: `{"viewerSessions": [{"channelArn": "arn:aws:ivs:nonsense", "viewerId": "bob"}]}`,
			fails: "ValidationException", says: "channelArn",
		},
		{call: "ivs DeleteChannel", in: `{"arn": "$channel"}`},
	}},
	{"streams", []step{
		{call: "meetings CreateMeeting", in: newMeeting, want: `{"Meeting": {"MeetingId": "$meeting"}}`},
		{call: "meetings CreateMeeting", in: newMeeting, want: `{"Meeting": {"MeetingId": "$meeting2"}}`},
		{
			call: "ivs CreateChannel", in: `{}`,
			want: `{"channel": {"arn": "$channel", "ingestEndpoint": "$host", "playbackUrl": "$playback"}, "streamKey": {"value": "$key"}}`,
		},
		{call: "ivs CreateChannel", in: `{}`, want: `{"channel": {"arn": "$channel2"}, "streamKey": {"value": "$key2"}}`},
		{call: "ivs GetStream", in: `{"channelArn": "$channel"}`, fails: "ChannelNotBroadcasting", says: "not broadcasting"},
		{call: "ivs StopStream", in: `{"channelArn": "$channel"}`, fails: "ChannelNotBroadcasting", says: "not broadcasting"},
		{call: "ivs PutMetadata", in: `{"channelArn": "$channel", "metadata": "x"}`, fails: "ChannelNotBroadcasting", says: "not broadcasting"},
		{call: "ivs ListStreams", in: `{}`, want: `{"streams": []}`},
		{call: "ivs ListStreams", in: `{"maxResults": 101}`, fails: "ValidationException", says: "101"},
		{call: "ivs GetStreamSession", in: `{"channelArn": "$channel"}`, fails: "ResourceNotFoundException", says: "$channel"},
		{call: "ivs ListStreamSessions", in: `{"channelArn": "` + noChannel + `"}`, fails: "ResourceNotFoundException", says: noChannel},
		{
			call: "pipelines CreateMediaLiveConnectorPipeline",
			in:   `{"Sources": [` + source("$meeting") + `], "Sinks": [` + sink("rtmps://$host:443/app/$key") + `]}`,
			want: `{"MediaLiveConnectorPipeline": {"MediaPipelineId": "$pipeline"}}`,
		},
		{
			call: "pipelines CreateMediaLiveConnectorPipeline",
			in:   `{"Sources": [` + source("$meeting2") + `], "Sinks": [` + sink("rtmps://$host:443/app/$key2") + `]}`,
			want: `{"MediaLiveConnectorPipeline": {"MediaPipelineId": "$pipeline2"}}`,
		},
		{
			call: "ivs GetStream", in: `{"channelArn": "$channel"}`, until: true,
			want: `{"stream": {"channelArn": "$channel", "state": "LIVE", "health": "~.+", "playbackUrl": "$playback", "streamId": "$stream", "startTime": "~20.+"}}`,
		},
		{call: "ivs GetStream", in: `{"channelArn": "$channel2"}`, want: `{"stream": {"state": "LIVE"}}`, until: true},
		{
			call: "ivs ListStreams", in: `{}`, page: 1,
			pages: `[{"streams": [{"channelArn": "~.+", "state": "LIVE"}], "nextToken": "~.+"}, {"streams": [{"channelArn": "~.+"}], "nextToken": null}]`,
		},
		{
			call: "ivs GetStreamSession", in: `{"channelArn": "$channel"}`,
			want: `{"streamSession": {"streamId": "$stream", "channel": {"arn": "$channel"}, "endTime": null,
				"ingestConfiguration": {"video": {"videoWidth": 160, "videoHeight": 90}, "audio": {"sampleRate": 48000}}}}`,
		},
		{call: "ivs UpdateChannel", in: `{"arn": "$channel", "latencyMode": "NORMAL"}`, fails: "ConflictException", says: "live"},
		{call: "ivs PutMetadata", in: `{"channelArn": "$channel", "metadata": "x"}`, fails: "ValidationException", says: "not available on this server"},
		{call: "ivs DeleteChannel", in: `{"arn": "$channel"}`, fails: "ConflictException", says: "live"},
		{call: "ivs StopStream", in: `{"channelArn": "$channel"}`, want: `{}`},
		{call: "ivs GetStream", in: `{"channelArn": "$channel"}`, want: `{"stream": {"streamId": "$again"}}`, until: true}, // the live connector comes back
		{
			call: "ivs ListStreamSessions", in: `{"channelArn": "$channel"}`, page: 1,
			pages: `[{"streamSessions": [{"streamId": "$again", "endTime": null}], "nextToken": "~.+"},
				{"streamSessions": [{"streamId": "$stream", "endTime": "~20.+", "hasErrorEvent": false}], "nextToken": null}]`,
		},
		{call: "pipelines DeleteMediaPipeline", in: `{"MediaPipelineId": "$pipeline"}`},
		{call: "pipelines DeleteMediaPipeline", in: `{"MediaPipelineId": "$pipeline2"}`},
		{call: "ivs DeleteChannel", in: `{"arn": "$channel"}`, until: true},
		{call: "ivs DeleteChannel", in: `{"arn": "$channel2"}`, until: true},
		{
			call: "ivs GetStreamSession", in: `{"channelArn": "$channel", "streamId": "$stream"}`, // outlives the channel
			want: `{"streamSession": {"streamId": "$stream", "endTime": "~20.+"}}`,
		},
		{call: "meetings DeleteMeeting", in: `{"MeetingId": "$meeting"}`},
		{call: "meetings DeleteMeeting", in: `{"MeetingId": "$meeting2"}`},
	}},
}
