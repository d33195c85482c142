package chimemeetings

import (
	"net/http"
	"regexp"

	"belfry.live/belfry/internal/api/restjson"
	"belfry.live/belfry/internal/meeting"
)

// operations is the service's table.
func (s *service) operations() []restjson.Operation {
	meetingID := restjson.Required("MeetingId", uuid)
	attendeeID := restjson.Required("AttendeeId", uuid)
	return []restjson.Operation{
		{
			Name: "CreateMeeting", Method: http.MethodPost, Path: "/meetings", Status: http.StatusOK,
			Input: meetingMembers,
			Class: restjson.A, Errors: []string{conflict, limitExceeded},
			Do: restjson.Do(s.createMeeting),
		},
		{
			Name: "CreateMeetingWithAttendees", Method: http.MethodPost, Path: "/meetings", Query: "create-attendees", Status: http.StatusOK,
			Input: append(meetingMembers[:len(meetingMembers):len(meetingMembers)],
				restjson.Required("Attendees", restjson.List(attendeeItem, 1, 20))),
			Class: restjson.A, Errors: []string{conflict, limitExceeded},
			Do: restjson.Do(s.createMeetingWithAttendees),
		},
		{
			Name: "GetMeeting", Method: http.MethodGet, Path: "/meetings/{MeetingId}", Status: http.StatusOK,
			Input: []restjson.Member{meetingID},
			Class: restjson.A, Errors: []string{notFound},
			Do: restjson.Do(s.getMeeting),
		},
		{
			Name: "DeleteMeeting", Method: http.MethodDelete, Path: "/meetings/{MeetingId}", Status: http.StatusNoContent,
			Input: []restjson.Member{meetingID},
			Class: restjson.A, Errors: []string{notFound},
			Do: restjson.Act(s.deleteMeeting),
		},
		{
			Name: "CreateAttendee", Method: http.MethodPost, Path: "/meetings/{MeetingId}/attendees", Status: http.StatusOK,
			Input: []restjson.Member{
				meetingID,
				restjson.Required("ExternalUserId", externalID),
				restjson.Optional("Capabilities", attendeeCapabilities),
			},
			Class: restjson.A, Errors: []string{notFound, unprocessable, limitExceeded},
			Do: restjson.Do(s.createAttendee),
		},
		{
			Name: "BatchCreateAttendee", Method: http.MethodPost, Path: "/meetings/{MeetingId}/attendees", Query: "batch-create", Status: http.StatusOK,
			Input: []restjson.Member{meetingID, restjson.Required("Attendees", restjson.List(attendeeItem, 1, 100))},
			Class: restjson.A, Errors: []string{notFound, unprocessable, limitExceeded},
			Do: restjson.Do(s.batchCreateAttendee),
		},
		{
			Name: "GetAttendee", Method: http.MethodGet, Path: "/meetings/{MeetingId}/attendees/{AttendeeId}", Status: http.StatusOK,
			Input: []restjson.Member{meetingID, attendeeID},
			Class: restjson.A, Errors: []string{notFound},
			Do: restjson.Do(s.getAttendee),
		},
		{
			Name: "ListAttendees", Method: http.MethodGet, Path: "/meetings/{MeetingId}/attendees", Status: http.StatusOK,
			Input: []restjson.Member{
				meetingID,
				restjson.Query("next-token", "NextToken", restjson.String(0, 4096)),
				restjson.Query("max-results", "MaxResults", restjson.Integer(1, 100)),
			},
			Class: restjson.A, Errors: []string{notFound},
			Do: restjson.Do(s.listAttendees),
		},
		{
			Name: "DeleteAttendee", Method: http.MethodDelete, Path: "/meetings/{MeetingId}/attendees/{AttendeeId}", Status: http.StatusNoContent,
			Input: []restjson.Member{meetingID, attendeeID},
			Class: restjson.A, Errors: []string{notFound},
			Do: restjson.Act(s.deleteAttendee),
		},
		{
			Name: "UpdateAttendeeCapabilities", Method: http.MethodPut, Path: "/meetings/{MeetingId}/attendees/{AttendeeId}/capabilities",
			Status: http.StatusOK,
			Input:  []restjson.Member{meetingID, attendeeID, restjson.Required("Capabilities", attendeeCapabilities)},
			Class:  restjson.B, Errors: []string{conflict, notFound},
			Do: restjson.Do(s.updateAttendeeCapabilities),
		},
		{
			Name: "BatchUpdateAttendeeCapabilitiesExcept", Method: http.MethodPut, Path: "/meetings/{MeetingId}/attendees/capabilities",
			Query: "batch-update-except", Status: http.StatusOK,
			Input: []restjson.Member{
				meetingID,
				restjson.Required("ExcludedAttendeeIds", restjson.List(restjson.Structure(attendeeID), 1, 250)),
				restjson.Required("Capabilities", attendeeCapabilities),
			},
			Class: restjson.B, Errors: []string{conflict, notFound},
			Do: restjson.Act(s.updateCapabilitiesExcept),
		},
		{
			Name: "ListTagsForResource", Method: http.MethodGet, Path: "/tags", Shared: "ResourceARN", Status: http.StatusOK,
			Input: []restjson.Member{restjson.RequiredQuery("arn", "ResourceARN", resourceARN)},
			Class: restjson.B, Errors: []string{limitExceeded, noResource},
			Do: restjson.Do(s.listTags),
		},
		{
			Name: "TagResource", Method: http.MethodPost, Path: "/tags", Query: "tag-resource", Shared: "ResourceARN", Status: http.StatusNoContent,
			Input: []restjson.Member{
				restjson.Required("ResourceARN", resourceARN),
				restjson.Required("Tags", restjson.List(tag, 0, meeting.MaxTags)),
			},
			Class: restjson.B, Errors: []string{limitExceeded, noResource, tooManyTags},
			Do: restjson.Act(s.tagResource),
		},
		{
			Name: "UntagResource", Method: http.MethodPost, Path: "/tags", Query: "untag-resource", Shared: "ResourceARN", Status: http.StatusNoContent,
			Input: []restjson.Member{
				restjson.Required("ResourceARN", resourceARN),
				restjson.Required("TagKeys", restjson.List(tagKey, 0, meeting.MaxTags)),
			},
			Class: restjson.B, Errors: []string{limitExceeded, noResource},
			Do: restjson.Act(s.untagResource),
		},
		{
			Name: "StartMeetingTranscription", Method: http.MethodPost, Path: "/meetings/{MeetingId}/transcription", Query: "start", Status: http.StatusOK,
			Input: []restjson.Member{meetingID, restjson.Required("TranscriptionConfiguration", transcriptionConfiguration)},
			Class: restjson.C, Errors: []string{notFound, limitExceeded, unprocessable},
			Gap: "there is no transcription engine: every request about a meeting that lives is refused",
			Do:  restjson.Act(s.startTranscription),
		},
		{
			Name: "StopMeetingTranscription", Method: http.MethodPost, Path: "/meetings/{MeetingId}/transcription", Query: "stop", Status: http.StatusOK,
			Input: []restjson.Member{meetingID},
			Class: restjson.C, Errors: []string{notFound, unprocessable},
			Gap: "there is no transcription engine: every request about a meeting that lives is refused",
			Do:  restjson.Act(s.stopTranscription),
		},
	}
}

var meetingMembers = []restjson.Member{
	restjson.Required("ClientRequestToken", restjson.String(2, 64).Matching(`[-_a-zA-Z0-9]*`, "letters, digits, - and _")),
	restjson.Required("MediaRegion", restjson.String(2, 64)),
	restjson.Optional("MeetingHostId", externalID),
	restjson.Required("ExternalMeetingId", externalID),
	restjson.Optional("NotificationsConfiguration", restjson.Structure(
		restjson.Optional("LambdaFunctionArn", arn),
		restjson.Optional("SnsTopicArn", arn),
		restjson.Optional("SqsQueueArn", arn),
	)),
	restjson.Optional("MeetingFeatures", restjson.Structure(
		restjson.Optional("Audio", restjson.Structure(
			restjson.Optional("EchoReduction", restjson.Enum("AVAILABLE", "UNAVAILABLE")),
		)),
		restjson.Optional("Video", restjson.Structure(
			restjson.Optional("MaxResolution", restjson.Enum("None", "HD", "FHD")),
		)),
		restjson.Optional("Content", restjson.Structure(
			restjson.Optional("MaxResolution", restjson.Enum("None", "FHD", "UHD")),
		)),
		restjson.Optional("Attendee", restjson.Structure(
			restjson.Optional("MaxCount", restjson.Integer(1, 250)),
		)),
	)),
	restjson.Optional("PrimaryMeetingId", restjson.String(2, 64)),
	restjson.Optional("TenantIds", restjson.List(tenantID, 1, 5)),
	restjson.Optional("Tags", restjson.List(tag, 0, 50)),
	restjson.Optional("MediaPlacementNetworkType", restjson.Enum("Ipv4Only", "DualStack")),
}

var (
	uuid = restjson.String(36, 36).Matching(`[a-fA-F0-9]{8}(-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}`, "a UUID")

	externalID = restjson.String(2, 64).Matching("[-_&@+=,(){}\\[\\]/«».:|'\"#a-zA-Z0-9À-ÿ\\s]*",
		`letters up to ÿ, digits, blanks and -_&@+=,(){}[]/«».:|'"#`)

	arn = restjson.String(1, 1024).Matching(`arn[/:\-_.a-zA-Z0-9]+`, "an ARN")

	// AWS asks no more of it.
	resourceARN = restjson.String(1, 1011).Matching(`arn:.*`, "an ARN")

	// In the model's expressions +-= is a range, with the digits in it.
	tagKey = restjson.String(1, 128).Matching(`[a-zA-Z+-=._:/]+`, "letters, digits and +,-./:;<=_")

	tag = restjson.Structure(
		restjson.Required("Key", tagKey),
		restjson.Required("Value", restjson.String(0, 256).Matching(`[\s\w+-=.:/@]*`, "letters, digits, blanks and +,-./:;<=_@")),
	)

	tenantID = restjson.String(2, 256).Accepted(isTenantID, "letters, digits and -_!@#$, none four times running")

	attendeeCapabilities = restjson.Structure(
		restjson.Required("Audio", capability),
		restjson.Required("Video", capability),
		restjson.Required("Content", capability),
	)
	capability = restjson.Enum("SendReceive", "Send", "Receive", "None")

	attendeeItem = restjson.Structure(
		restjson.Required("ExternalUserId", externalID),
		restjson.Optional("Capabilities", attendeeCapabilities),
	)
)

var tenantCharacters = regexp.MustCompile(`^[-_!@#$a-zA-Z0-9]*$`)

func isTenantID(s string) bool {
	for i := 3; i < len(s); i++ {
		if s[i] == s[i-1] && s[i] == s[i-2] && s[i] == s[i-3] {
			return false
		}
	}
	return tenantCharacters.MatchString(s)
}
