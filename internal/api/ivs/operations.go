package ivs

import (
	"net/http"
	"slices"

	"belfry.live/belfry/internal/api/restjson"
)

// operations is the service's table.
func (s *service) operations() []restjson.Operation {
	return slices.Concat(
		s.channelOperations(), s.streamKeyOperations(), s.streamOperations(), s.sessionOperations(),
		s.recordingOperations(), s.playbackKeyOperations(), s.policyOperations(), s.revocationOperations(),
		s.tagOperations(), s.adOperations(),
	)
}

// post is a row as most are: its path is its name.
func post(class restjson.Class, name string, input []restjson.Member, do restjson.Handler, errors ...string) restjson.Operation {
	return restjson.Operation{
		Name: name, Method: http.MethodPost, Path: "/" + name, Status: http.StatusOK,
		Input: input, Errors: errors, Class: class, Do: do,
	}
}

// without is the row with an answer that has no body.
func without(op restjson.Operation) restjson.Operation {
	op.Status = http.StatusNoContent
	return op
}

// at is the row with a rate of its own.
func at(perSecond float64, op restjson.Operation) restjson.Operation {
	op.Rate = restjson.Rate{PerSecond: perSecond, Burst: int(perSecond)}
	return op
}

// gap is the row of what is not complete.
func gap(text string, op restjson.Operation) restjson.Operation {
	op.Gap = text
	return op
}

// one is the input of an operation about the thing with an ARN.
func one(member, kind string) []restjson.Member {
	return []restjson.Member{restjson.Required(member, arnOf(kind))}
}

// paged is the input of a list with pages of at most the size, and with the
// members.
func paged(size int64, members ...restjson.Member) []restjson.Member {
	return append(members,
		restjson.Optional("nextToken", pageToken),
		restjson.Optional("maxResults", restjson.Integer(1, size)),
	)
}

// The items of a page unless another number is asked for.
const (
	onePage   = 1 // AWS's, for two of its lists
	manyPages = 100
)

type (
	// An arnInput names what an operation is about.
	arnInput struct {
		ARN string `json:"arn"`
	}

	// A pageInput asks for a page of a list.
	pageInput struct {
		NextToken  string
		MaxResults int
	}

	arnsInput struct {
		ARNs []string `json:"arns"`
	}

	batchError struct {
		ARN     string `json:"arn"`
		Code    string `json:"code"`
		Message string `json:"message"`
	}
)

var (
	name = restjson.String(0, 128).Matching(`[a-zA-Z0-9\-_]*`, "letters, digits, - and _")

	pageToken = restjson.String(0, 1024).Matching(`[a-zA-Z0-9+/=_\-]*`, "a token from an earlier answer")

	tagKey = restjson.String(1, 128).Matching(tagCharacters, tagForm)

	tags = restjson.Map(tagKey, restjson.String(0, 256).Matching(tagCharacters, tagForm), maxTags)
)

const (
	maxTags       = 50
	tagCharacters = `[\p{L}\p{Z}\p{N}_.:/=+\-@]*`
	tagForm       = "letters, digits, blanks and _.:/=+-@"
)

func arnOf(kind string) restjson.Text {
	return restjson.String(1, 128).Matching(arnPattern(kind), "a "+kind+"'s ARN")
}

// arnOrEmpty takes "" too, which means none.
func arnOrEmpty(kind string) restjson.Text {
	return restjson.String(0, 128).Matching("|"+arnPattern(kind), "a "+kind+"'s ARN or empty")
}

func arnPattern(kind string) string {
	return `arn:aws:ivs:[a-z0-9-]+:[0-9]+:` + kind + `/[a-zA-Z0-9-]+`
}
