package api

import (
	"encoding/xml"
	"mime"
	"net/http"
	"net/url"

	"belfry.live/belfry/internal/api/restjson"
)

// Applications ask the Security Token Service for the account that their keys
// are of, to write ARNs. That is the one thing of it that is answered here, in
// its own protocol: AWS Query, a form in and XML out.

// sts has no operations of REST-JSON; it says how requests are signed and what
// is said of those that are not.
var sts = &restjson.Service{SigningName: "sts", Invalid: "ValidationError"}

type (
	callerIdentityResponse struct {
		XMLName   xml.Name       `xml:"https://sts.amazonaws.com/doc/2011-06-15/ GetCallerIdentityResponse"`
		Result    callerIdentity `xml:"GetCallerIdentityResult"`
		RequestID string         `xml:"ResponseMetadata>RequestId"`
	}

	callerIdentity struct {
		ARN     string `xml:"Arn"`
		UserID  string `xml:"UserId"`
		Account string
	}

	stsErrorResponse struct {
		XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
		Error     stsError
		RequestID string `xml:"RequestId"`
	}

	stsError struct {
		Type, Code, Message string
	}
)

// isForm says whether the request is one of the AWS Query protocol.
func (a *API) isForm(r *http.Request) bool {
	path, _ := target(r)
	path, ok := a.withoutBase(path)
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return ok && r.Method == http.MethodPost && len(restjson.Segments(path)) == 0 &&
		err == nil && kind == "application/x-www-form-urlencoded"
}

// serveForm answers GetCallerIdentity, which needs no permission.
func (a *API) serveForm(w http.ResponseWriter, r *http.Request, requestID string) {
	from, body, refusal := a.authenticate(r, sts)
	if refusal != nil {
		failForm(w, refusal, requestID)
		return
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		failForm(w, restjson.Errorf(http.StatusBadRequest, "MalformedQueryString", "the body is no form: %v", err), requestID)
		return
	}
	if action := form.Get("Action"); action != "GetCallerIdentity" {
		failForm(w, restjson.Errorf(http.StatusBadRequest, "InvalidAction",
			"Could not find operation %.200q; only GetCallerIdentity is answered here", action), requestID)
		return
	}
	writeXML(w, http.StatusOK, callerIdentityResponse{
		Result: callerIdentity{
			ARN:     a.principal(from.key),
			UserID:  a.userID(from.key),
			Account: a.account(from.key),
		},
		RequestID: requestID,
	})
}

func failForm(w http.ResponseWriter, e *restjson.Error, requestID string) {
	writeXML(w, e.Status, stsErrorResponse{Error: stsError{"Sender", e.Type, e.Message}, RequestID: requestID})
}

func writeXML(w http.ResponseWriter, status int, v any) {
	text, err := xml.Marshal(v)
	if err != nil {
		panic("api: output that is no XML: " + err.Error())
	}
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_, _ = w.Write(text) // the client has gone if this fails
}
