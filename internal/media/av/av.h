// The C side of package av. All functions return 0 or a positive count when
// they succeed and a negative AVERROR or BF_ code when not.
#ifndef BELFRY_AV_H
#define BELFRY_AV_H

#include <stdint.h>
#include <libavcodec/avcodec.h>

#define BF_MAX_SIDE 4096
#define BF_ERROR_TEXT 128 // bytes for bf_error_text
#define BF_UNSUPPORTED (-0x42465501)
#define BF_DAMAGED (-0x42465502)

void bf_error_text(int code, char *text);

// Logging: bf_log_install routes FFmpeg's messages up to level (an
// AV_LOG_ value) into the Go function belfryAVLog.
void bf_log_install(int level);

// Pictures are I420 AVFrames.
AVFrame *bf_picture_new(int width, int height);
// bf_scale scales the part (sx, sy, sw, sh) of src into the part (dx, dy, dw,
// dh) of dst, which has limited range whatever src has. All eight must be
// checked by the caller.
int bf_scale(AVFrame *dst, int dx, int dy, int dw, int dh,
             const AVFrame *src, int sx, int sy, int sw, int sh);

typedef struct bf_decoder bf_decoder;

enum { BF_VP8 = 1, BF_H264 = 2 };

int bf_decoder_open(bf_decoder **out, int codec);
// bf_decode feeds one frame (size 0: the end) and takes the picture that
// comes out, if any; the caller frees it.
int bf_decode(bf_decoder *d, const uint8_t *data, int size, int64_t pts, AVFrame **picture);
// bf_decoder_reset forgets all references.
void bf_decoder_reset(bf_decoder *d);
void bf_decoder_close(bf_decoder *d);

// What an encoder gives out; data is valid until the next call.
typedef struct {
	const uint8_t *data;
	int size;
	int key;
	int64_t pts;
	int64_t dts;
} bf_packet;

typedef struct bf_encoder bf_encoder;

int bf_video_encoder_open(bf_encoder **out, int width, int height, int fps, int64_t bitrate);
int bf_encode_video(bf_encoder *e, const AVFrame *picture, int64_t pts, int key, bf_packet *out);

int bf_audio_encoder_open(bf_encoder **out, int rate, int channels, int64_t bitrate);
// bf_encode_audio takes exactly bf_frame_size interleaved samples per channel.
int bf_encode_audio(bf_encoder *e, const float *samples, int64_t pts, bf_packet *out);

int bf_frame_size(const bf_encoder *e);
int bf_priming(const bf_encoder *e);
const uint8_t *bf_header(const bf_encoder *e, int *size);
void bf_encoder_close(bf_encoder *e);

#endif
