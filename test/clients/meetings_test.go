package clients_test

import "slices"

// scenarios are all that the clients go through.
var scenarios = slices.Concat(meetingScenarios, pipelineScenarios, channelScenarios, refusalScenarios)

// Tags that are odd but allowed: what stands for something in a URL or in a
// signature; and, where a service takes them, blanks and letters beyond ASCII.
const (
	oddKey   = "a/b:c=d+e-f.g_9"
	oddValue = " x y/z:1=2+3-4@5._ "
	blankKey = "Zoë b@c/日 1=+"
)

const (
	noMeeting  = "00000000-0000-0000-0000-000000000001"
	noAttendee = "00000000-0000-0000-0000-000000000002"
	someUUID   = "~[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)

var meetingScenarios = []scenario{
	{"a meeting", []step{
		{
			call: "meetings CreateMeeting",
			in: `{"ClientRequestToken": "$token", "MediaRegion": "us-east-1", "ExternalMeetingId": "rehearsal «é»", "MeetingHostId": "host",
				"NotificationsConfiguration": {}, "TenantIds": ["tenant"], "Tags": [{"Key": "$oddKey", "Value": "$oddValue"}]}`,
			want: `{"Meeting": {"MeetingId": "$meeting", "MeetingArn": "arn:aws:chime:us-east-1:$account:meeting/$meeting",
				"ExternalMeetingId": "rehearsal «é»", "MediaRegion": "us-east-1", "TenantIds": ["tenant"],
				"MediaPlacement": {"SignalingUrl": "~ws://.+/control/$meeting", "AudioHostUrl": "~.+", "EventIngestionUrl": "~http.+"}}}`,
		},
		{
			call:  "meetings CreateMeeting",
			in:    `{"ClientRequestToken": "no blanks", "MediaRegion": "us-east-1", "ExternalMeetingId": "rehearsal"}`,
			fails: "BadRequestException", says: "ClientRequestToken",
		},
		{
			call: "meetings GetMeeting", in: `{"MeetingId": "$meeting"}`,
			want: `{"Meeting": {"MeetingId": "$meeting", "ExternalMeetingId": "rehearsal «é»"}}`,
		},
		{call: "meetings GetMeeting", in: `{"MeetingId": "` + noMeeting + `"}`, fails: "NotFoundException", says: noMeeting},

		{
			call: "meetings ListTagsForResource", in: `{"ResourceARN": "arn:aws:chime:us-east-1:$account:meeting/$meeting"}`,
			want: `{"Tags": [{"Key": "$oddKey", "Value": "$oddValue"}]}`,
		},
		{
			call: "meetings TagResource",
			in:   `{"ResourceARN": "arn:aws:chime:us-east-1:$account:meeting/$meeting", "Tags": [{"Key": "z", "Value": ""}, {"Key": "$oddKey", "Value": "new"}]}`,
		},
		{
			call: "meetings ListTagsForResource", in: `{"ResourceARN": "arn:aws:chime::$account:meeting:$meeting"}`,
			want: `{"Tags": [{"Key": "$oddKey", "Value": "new"}, {"Key": "z", "Value": ""}]}`,
		},
		{
			call:  "meetings UntagResource",
			in:    `{"ResourceARN": "arn:aws:chime:us-east-1:$account:meeting/$meeting", "TagKeys": ["$oddKey", "not there"]}`,
			fails: "BadRequestException", says: "TagKeys[1]",
		},
		{
			call: "meetings UntagResource",
			in:   `{"ResourceARN": "arn:aws:chime:us-east-1:$account:meeting/$meeting", "TagKeys": ["$oddKey", "notThere"]}`,
		},
		{
			call: "meetings ListTagsForResource", in: `{"ResourceARN": "arn:aws:chime:us-east-1:$account:meeting/$meeting"}`,
			want: `{"Tags": [{"Key": "z", "Value": ""}]}`,
		},
		{
			call: "meetings ListTagsForResource", in: `{"ResourceARN": "arn:aws:chime:us-east-1:$account:meeting/` + noMeeting + `"}`,
			fails: "ResourceNotFoundException", says: noMeeting,
		},
		{
			call:  "meetings TagResource",
			in:    `{"ResourceARN": "arn:aws:chime:us-east-1:$account:meeting/` + noMeeting + `", "Tags": [{"Key": "a", "Value": "b"}]}`,
			fails: "ResourceNotFoundException", says: noMeeting,
		},
		{
			call:  "meetings UntagResource",
			in:    `{"ResourceARN": "arn:aws:chime:us-east-1:$account:meeting/` + noMeeting + `", "TagKeys": ["a"]}`,
			fails: "ResourceNotFoundException", says: noMeeting,
		},

		{call: "meetings DeleteMeeting", in: `{"MeetingId": "$meeting"}`},
		{call: "meetings GetMeeting", in: `{"MeetingId": "$meeting"}`, fails: "NotFoundException", says: "$meeting"},
		{call: "meetings DeleteMeeting", in: `{"MeetingId": "$meeting"}`, fails: "NotFoundException", says: "$meeting"},
	}},
	{"attendees", []step{
		{
			call: "meetings CreateMeetingWithAttendees",
			in: `{"ClientRequestToken": "$token", "MediaRegion": "eu-central-1", "ExternalMeetingId": "rehearsal",
				"Attendees": [{"ExternalUserId": "u1"}, {"ExternalUserId": "aws:u2"}],
				"MeetingFeatures": {"Audio": {"EchoReduction": "AVAILABLE"}}, "Tags": [{"Key": "$oddKey", "Value": "$oddValue"}]}`,
			want: `{"Meeting": {"MeetingId": "$meeting", "MeetingFeatures": {"Audio": {"EchoReduction": "AVAILABLE"}}}, "Attendees": [{"ExternalUserId": "u1", "AttendeeId": "$first", "JoinToken": "$join"}],
				"Errors": [{"ExternalUserId": "aws:u2", "ErrorCode": "~.+"}]}`,
		},
		{
			call:  "meetings CreateMeetingWithAttendees",
			in:    `{"ClientRequestToken": "$token", "MediaRegion": "eu-central-1", "ExternalMeetingId": "aws:no", "Attendees": [{"ExternalUserId": "u1"}]}`,
			fails: "BadRequestException", says: "ExternalMeetingId",
		},
		{
			call: "meetings ListTagsForResource", in: `{"ResourceARN": "arn:aws:chime:us-east-1:$account:meeting/$meeting"}`,
			want: `{"Tags": [{"Key": "$oddKey", "Value": "$oddValue"}]}`,
		},
		{
			call: "meetings CreateAttendee", in: `{"MeetingId": "$meeting", "ExternalUserId": "1a2b#Zoë"}`,
			want: `{"Attendee": {"AttendeeId": "$second", "ExternalUserId": "1a2b#Zoë", "JoinToken": "~.+",
				"Capabilities": {"Audio": "SendReceive", "Video": "SendReceive", "Content": "SendReceive"}}}`,
		},
		{
			call: "meetings CreateAttendee", in: `{"MeetingId": "` + noMeeting + `", "ExternalUserId": "u1"}`,
			fails: "NotFoundException", says: noMeeting,
		},
		{
			call: "meetings BatchCreateAttendee",
			in:   `{"MeetingId": "$meeting", "Attendees": [{"ExternalUserId": "u3"}, {"ExternalUserId": "aws:u4"}, {"ExternalUserId": "u1"}]}`,
			want: `{"Attendees": [{"ExternalUserId": "u3", "AttendeeId": "$third"}, {"ExternalUserId": "u1", "AttendeeId": "$first", "JoinToken": "$join"}],
				"Errors": [{"ExternalUserId": "aws:u4"}]}`,
		},
		{
			call: "meetings BatchCreateAttendee", in: `{"MeetingId": "` + noMeeting + `", "Attendees": [{"ExternalUserId": "u1"}]}`,
			fails: "NotFoundException", says: noMeeting,
		},
		{
			call: "meetings GetAttendee", in: `{"MeetingId": "$meeting", "AttendeeId": "$second"}`,
			want: `{"Attendee": {"AttendeeId": "$second", "ExternalUserId": "1a2b#Zoë"}}`,
		},
		{
			call: "meetings GetAttendee", in: `{"MeetingId": "$meeting", "AttendeeId": "` + noAttendee + `"}`,
			fails: "NotFoundException", says: "attendee not found",
		},
		{
			call: "meetings ListAttendees", in: `{"MeetingId": "$meeting"}`, page: 2,
			pages: `[{"Attendees": [{"ExternalUserId": "~.+"}, {"ExternalUserId": "~.+"}], "NextToken": "~.+"},
				{"Attendees": [{"ExternalUserId": "~.+"}], "NextToken": null}]`,
		},
		{
			call: "meetings ListAttendees", in: `{"MeetingId": "$meeting", "NextToken": "made-up"}`,
			fails: "BadRequestException", says: "NextToken",
		},
		{
			call: "meetings UpdateAttendeeCapabilities",
			in:   `{"MeetingId": "$meeting", "AttendeeId": "$first", "Capabilities": {"Audio": "Receive", "Video": "None", "Content": "None"}}`,
			want: `{"Attendee": {"AttendeeId": "$first", "Capabilities": {"Audio": "Receive", "Video": "None", "Content": "None"}}}`,
		},
		{
			call:  "meetings UpdateAttendeeCapabilities",
			in:    `{"MeetingId": "$meeting", "AttendeeId": "` + noAttendee + `", "Capabilities": {"Audio": "Receive", "Video": "None", "Content": "None"}}`,
			fails: "NotFoundException", says: "attendee not found",
		},
		{
			call: "meetings BatchUpdateAttendeeCapabilitiesExcept",
			in: `{"MeetingId": "$meeting", "ExcludedAttendeeIds": [{"AttendeeId": "$second"}],
				"Capabilities": {"Audio": "Send", "Video": "Send", "Content": "None"}}`,
		},
		{
			call: "meetings GetAttendee", in: `{"MeetingId": "$meeting", "AttendeeId": "$third"}`,
			want: `{"Attendee": {"Capabilities": {"Audio": "Send", "Video": "Send", "Content": "None"}}}`,
		},
		{
			call: "meetings BatchUpdateAttendeeCapabilitiesExcept",
			in: `{"MeetingId": "$meeting", "ExcludedAttendeeIds": [{"AttendeeId": "$second"}],
				"Capabilities": {"Audio": "Send", "Video": "Send", "Content": "Receive"}}`,
			fails: "BadRequestException", says: "Content",
		},
		{call: "meetings DeleteAttendee", in: `{"MeetingId": "$meeting", "AttendeeId": "$second"}`},
		{
			call: "meetings DeleteAttendee", in: `{"MeetingId": "$meeting", "AttendeeId": "$second"}`,
			fails: "NotFoundException", says: "attendee not found",
		},
	}},
}
