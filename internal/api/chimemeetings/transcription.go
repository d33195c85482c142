package chimemeetings

import (
	"context"
	"net/http"

	"belfry.live/belfry/internal/api/restjson"
)

type transcriptionInput struct {
	MeetingID string `json:"MeetingId"`
}

// startTranscription and stopTranscription refuse what there is no engine for.
// A meeting that is not there comes first, as applications tell by it that
// they are late.
func (s *service) startTranscription(ctx context.Context, c restjson.Caller, in transcriptionInput) error {
	if _, err := s.lookup(ctx, c, in.MeetingID); err != nil {
		return err
	}
	return restjson.Errorf(http.StatusUnprocessableEntity, unprocessable, "transcription engine not configured")
}

func (s *service) stopTranscription(ctx context.Context, c restjson.Caller, in transcriptionInput) error {
	if _, err := s.lookup(ctx, c, in.MeetingID); err != nil {
		return err
	}
	return restjson.Errorf(http.StatusUnprocessableEntity, unprocessable, "no transcription runs: transcription engine not configured")
}

var transcriptionConfiguration = restjson.Structure(
	restjson.Optional("EngineTranscribeSettings", restjson.Structure(
		restjson.Optional("LanguageCode", transcribeLanguage),
		restjson.Optional("VocabularyFilterMethod", restjson.Enum("remove", "mask", "tag")),
		restjson.Optional("VocabularyFilterName", text),
		restjson.Optional("VocabularyName", text),
		restjson.Optional("Region", restjson.Enum(
			"us-east-2", "us-east-1", "us-west-2", "ap-northeast-2", "ap-southeast-2", "ap-northeast-1", "ca-central-1",
			"eu-central-1", "eu-west-1", "eu-west-2", "sa-east-1", "auto", "us-gov-west-1")),
		restjson.Optional("EnablePartialResultsStabilization", restjson.Boolean()),
		restjson.Optional("PartialResultsStability", restjson.Enum("low", "medium", "high")),
		restjson.Optional("ContentIdentificationType", restjson.Enum("PII")),
		restjson.Optional("ContentRedactionType", restjson.Enum("PII")),
		restjson.Optional("PiiEntityTypes", restjson.String(1, 300).Matching(`[A-Z_, ]+`, "capitals, _, commas and blanks")),
		restjson.Optional("LanguageModelName", restjson.String(1, 200).Matching(`[0-9a-zA-Z._-]+`, "letters, digits and ._-")),
		restjson.Optional("IdentifyLanguage", restjson.Boolean()),
		restjson.Optional("LanguageOptions", restjson.String(1, 200).Matching(`[a-zA-Z\-,]+`, "letters, - and commas")),
		restjson.Optional("PreferredLanguage", transcribeLanguage),
		restjson.Optional("VocabularyNames", vocabularies),
		restjson.Optional("VocabularyFilterNames", vocabularies),
	)),
	restjson.Optional("EngineTranscribeMedicalSettings", restjson.Structure(
		restjson.Required("LanguageCode", restjson.Enum("en-US")),
		restjson.Required("Specialty", restjson.Enum("PRIMARYCARE", "CARDIOLOGY", "NEUROLOGY", "ONCOLOGY", "RADIOLOGY", "UROLOGY")),
		restjson.Required("Type", restjson.Enum("CONVERSATION", "DICTATION")),
		restjson.Optional("VocabularyName", text),
		restjson.Optional("Region", restjson.Enum(
			"us-east-1", "us-east-2", "us-west-2", "ap-southeast-2", "ca-central-1", "eu-west-1", "auto")),
		restjson.Optional("ContentIdentificationType", restjson.Enum("PHI")),
	)),
)

var (
	text = restjson.String(0, 4096)

	transcribeLanguage = restjson.Enum("en-US", "en-GB", "es-US", "fr-CA", "fr-FR", "en-AU", "it-IT", "de-DE", "pt-BR",
		"ja-JP", "ko-KR", "zh-CN", "th-TH", "hi-IN")

	// AWS's expression has the range from , to . in its brackets.
	vocabularies = restjson.String(1, 3000).Matching(`[a-zA-Z0-9,-._]+`, "letters, digits and ,-._")
)
