#include "av.h"

#include <string.h>
#include <libavutil/error.h>
#include <libavutil/log.h>

#include "_cgo_export.h"

static int log_level = AV_LOG_QUIET;

void bf_error_text(int code, char *text) {
	av_strerror(code, text, BF_ERROR_TEXT);
}

static void callback(void *object, int level, const char *format, va_list args) {
	if (level > log_level)
		return;
	char line[512];
	int prefix = 1;
	av_log_format_line2(object, level, format, args, line, sizeof line, &prefix);
	belfryAVLog(line, (int)strnlen(line, sizeof line));
}

void bf_log_install(int level) {
	log_level = level;
	av_log_set_callback(callback);
}
