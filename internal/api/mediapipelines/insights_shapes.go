package mediapipelines

import "belfry.live/belfry/internal/api/restjson"

// maxUnlimited bounds lists that the model does not.
const maxUnlimited = 1000

// Of insights.
var (
	identifierText = restjson.String(1, 1024).Matching(`(?s).*\S.*`, "more than blanks")
	identifier     = restjson.Required("Identifier", identifierText)

	ruleName  = restjson.String(2, 64).Matching(`[0-9a-zA-Z._-]+`, "letters, digits and ._-")
	modelName = restjson.String(1, 200).Matching(`[0-9a-zA-Z._-]+`, "letters, digits and ._-")

	streamARN = restjson.String(1, 1024).Matching(
		`arn:[a-z\d-]+:kinesisvideo:[a-z0-9-]+:[0-9]+:[a-z]+/[a-zA-Z0-9_.-]+/[0-9]+`, "the ARN of a Kinesis video stream")
	fragmentNumber  = restjson.Optional("FragmentNumber", restjson.String(1, 128).Matching(`[0-9]+`, "digits"))
	channelID       = restjson.Required("ChannelId", restjson.Integer(0, 1))
	recordingFormat = restjson.Enum("Wav", "Opus")

	streamTask = restjson.Structure(restjson.Required("StreamArn", streamARN), channelID, fragmentNumber)

	streamRuntime = restjson.Structure(
		restjson.Required("Streams", restjson.List(restjson.Structure(
			restjson.Required("StreamArn", streamARN),
			fragmentNumber,
			restjson.Required("StreamChannelDefinition", restjson.Structure(
				restjson.Required("NumberOfChannels", restjson.Integer(1, 2)),
				restjson.Optional("ChannelDefinitions", restjson.List(restjson.Structure(
					channelID,
					restjson.Optional("ParticipantRole", restjson.Enum("AGENT", "CUSTOMER")),
				), 1, 2)),
			)),
		), 1, 2)),
		restjson.Required("MediaEncoding", restjson.Enum("pcm")),
		restjson.Required("MediaSampleRate", restjson.Integer(8000, 48000)),
	)

	recordingRuntime = restjson.Structure(
		restjson.Required("Streams", restjson.List(restjson.Structure(
			restjson.Optional("StreamArn", streamARN),
		), 1, 2)),
		restjson.Required("FragmentSelector", restjson.Structure(
			restjson.Required("FragmentSelectorType", restjson.Enum("ProducerTimestamp", "ServerTimestamp")),
			restjson.Required("TimestampRange", restjson.Structure(
				restjson.Required("StartTimestamp", restjson.Instant()),
				restjson.Required("EndTimestamp", restjson.Instant()),
			)),
		)),
	)

	alerts = restjson.Structure(
		restjson.Optional("Disabled", restjson.Boolean()),
		restjson.Optional("Rules", restjson.List(restjson.Structure(
			restjson.Required("Type", restjson.Enum("KeywordMatch", "Sentiment", "IssueDetection")),
			restjson.Optional("KeywordMatchConfiguration", restjson.Structure(
				restjson.Required("RuleName", ruleName),
				restjson.Required("Keywords", restjson.List(
					restjson.String(1, 100).Matching(`[\s0-9a-zA-Z'-]+`, "letters, digits, blanks, ' and -"), 1, 10)),
				restjson.Optional("Negate", restjson.Boolean()),
			)),
			restjson.Optional("SentimentConfiguration", restjson.Structure(
				restjson.Required("RuleName", ruleName),
				restjson.Required("SentimentType", restjson.Enum("NEGATIVE")),
				restjson.Required("TimePeriod", restjson.Integer(60, 1800)),
			)),
			restjson.Optional("IssueDetectionConfiguration", restjson.Structure(
				restjson.Required("RuleName", ruleName),
			)),
		), 1, 3)),
	)

	target = restjson.Structure(restjson.Optional("InsightsTarget", arn))

	elements = restjson.List(restjson.Structure(
		restjson.Required("Type", restjson.Enum(
			"AmazonTranscribeCallAnalyticsProcessor", "VoiceAnalyticsProcessor", "AmazonTranscribeProcessor", "KinesisDataStreamSink",
			"LambdaFunctionSink", "SqsQueueSink", "SnsTopicSink", "S3RecordingSink", "VoiceEnhancementSink")),
		restjson.Optional("AmazonTranscribeCallAnalyticsProcessorConfiguration", callAnalytics),
		restjson.Optional("AmazonTranscribeProcessorConfiguration", transcription),
		restjson.Optional("KinesisDataStreamSinkConfiguration", target),
		restjson.Optional("S3RecordingSinkConfiguration", restjson.Structure(
			restjson.Optional("Destination", arn),
			restjson.Optional("RecordingFileFormat", recordingFormat),
		)),
		restjson.Optional("VoiceAnalyticsProcessorConfiguration", restjson.Structure(
			restjson.Optional("SpeakerSearchStatus", switched),
			restjson.Optional("VoiceToneAnalysisStatus", switched),
		)),
		restjson.Optional("LambdaFunctionSinkConfiguration", target),
		restjson.Optional("SqsQueueSinkConfiguration", target),
		restjson.Optional("SnsTopicSinkConfiguration", target),
		restjson.Optional("VoiceEnhancementSinkConfiguration", restjson.Structure(
			restjson.Optional("Disabled", restjson.Boolean()),
		)),
	), 0, maxUnlimited)

	language = restjson.Enum("en-US", "en-GB", "es-US", "fr-CA", "fr-FR", "en-AU", "it-IT", "de-DE", "pt-BR")

	// What both of Transcribe's processors have.
	transcribing = []restjson.Member{
		restjson.Optional("VocabularyName", modelName),
		restjson.Optional("VocabularyFilterName", modelName),
		restjson.Optional("VocabularyFilterMethod", restjson.Enum("remove", "mask", "tag")),
		restjson.Optional("LanguageModelName", modelName),
		restjson.Optional("EnablePartialResultsStabilization", restjson.Boolean()),
		restjson.Optional("PartialResultsStability", restjson.Enum("high", "medium", "low")),
		restjson.Optional("ContentIdentificationType", restjson.Enum("PII")),
		restjson.Optional("ContentRedactionType", restjson.Enum("PII")),
		restjson.Optional("PiiEntityTypes", restjson.String(1, 300).Matching(`[A-Z_, ]+`, "capitals, _, commas and blanks")),
		restjson.Optional("FilterPartialResults", restjson.Boolean()),
	}

	callAnalytics = restjson.Structure(append([]restjson.Member{
		restjson.Required("LanguageCode", language),
		restjson.Optional("PostCallAnalyticsSettings", restjson.Structure(
			restjson.Required("OutputLocation", restjson.String(0, 4096)),
			restjson.Required("DataAccessRoleArn", restjson.String(0, 4096)),
			restjson.Optional("ContentRedactionOutput", restjson.Enum("redacted", "redacted_and_unredacted")),
			restjson.Optional("OutputEncryptionKMSKeyId", restjson.String(0, 4096)),
		)),
		restjson.Optional("CallAnalyticsStreamCategories", restjson.List(modelName, 1, 20)),
	}, transcribing...)...)

	transcription = restjson.Structure(append([]restjson.Member{
		restjson.Optional("LanguageCode", language),
		restjson.Optional("ShowSpeakerLabel", restjson.Boolean()),
		restjson.Optional("IdentifyLanguage", restjson.Boolean()),
		restjson.Optional("IdentifyMultipleLanguages", restjson.Boolean()),
		restjson.Optional("LanguageOptions", restjson.String(1, 200).Matching(`[a-zA-Z\-,]+`, "letters, - and commas")),
		restjson.Optional("PreferredLanguage", language),
		restjson.Optional("VocabularyNames", vocabularies),
		restjson.Optional("VocabularyFilterNames", vocabularies),
	}, transcribing...)...)

	// In the model's expression ,-. is a range.
	vocabularies = restjson.String(1, 3000).Matching(`[a-zA-Z0-9,-._]+`, "letters, digits and ,-._")
)
