package restjson

import "strings"

// ChimeErrorBody is the ErrorBody of both Chime services: their Code is the
// type without its ending, except where the model has another.
func ChimeErrorBody(e *Error, requestID string) any {
	code := strings.TrimSuffix(e.Type, "Exception")
	switch code {
	case "ThrottledClient":
		code = "Throttling"
	case "UnauthorizedClient":
		code = "Unauthorized"
	}
	return struct{ Code, Message, RequestId string }{code, e.Message, requestID}
}
