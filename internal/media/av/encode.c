#include "av.h"

#include <string.h>
#include <libavutil/channel_layout.h>
#include <libavutil/opt.h>

struct bf_encoder {
	AVCodecContext *ctx;
	AVPacket *packet;
	AVFrame *frame; // video: a reference to the caller's picture; audio: own samples
};

// make allocates everything but opens nothing yet.
static int make(bf_encoder **out, const char *name) {
	const AVCodec *c = avcodec_find_encoder_by_name(name);
	if (!c)
		return AVERROR_ENCODER_NOT_FOUND;
	bf_encoder *e = av_mallocz(sizeof *e);
	if (!e)
		return AVERROR(ENOMEM);
	e->packet = av_packet_alloc();
	e->frame = av_frame_alloc();
	e->ctx = avcodec_alloc_context3(c);
	if (!e->packet || !e->frame || !e->ctx) {
		bf_encoder_close(e);
		return AVERROR(ENOMEM);
	}
	e->ctx->thread_count = 1;
	e->ctx->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
	*out = e;
	return 0;
}

int bf_video_encoder_open(bf_encoder **out, int width, int height, int fps, int64_t bitrate) {
	bf_encoder *e;
	int err = make(&e, "libx264");
	if (err < 0)
		return err;
	AVCodecContext *ctx = e->ctx;
	ctx->width = width;
	ctx->height = height;
	ctx->pix_fmt = AV_PIX_FMT_YUV420P;
	ctx->time_base = (AVRational){1, fps};
	ctx->framerate = (AVRational){fps, 1};
	ctx->sample_aspect_ratio = (AVRational){1, 1};
	// Cameras in a browser send BT.601; players guess BT.709 for HD unless told.
	ctx->color_range = AVCOL_RANGE_MPEG;
	ctx->colorspace = AVCOL_SPC_SMPTE170M;
	ctx->color_primaries = AVCOL_PRI_SMPTE170M;
	ctx->color_trc = AVCOL_TRC_SMPTE170M;
	ctx->bit_rate = bitrate;
	ctx->rc_max_rate = bitrate;
	ctx->rc_buffer_size = (int)bitrate; // one second
	// The caller says where key frames go; this is only a net below it.
	ctx->gop_size = 10 * fps;
	ctx->max_b_frames = 0;
	av_opt_set(ctx->priv_data, "preset", "superfast", 0);
	av_opt_set(ctx->priv_data, "tune", "zerolatency", 0);
	av_opt_set(ctx->priv_data, "profile", "high", 0);
	av_opt_set(ctx->priv_data, "forced-idr", "1", 0);
	// Below quantizer 18 nobody sees a difference, but a still picture would
	// fill the whole rate, with key frames as long as a second of it.
	av_opt_set(ctx->priv_data, "x264-params", "scenecut=0:sliced-threads=0:qpmin=18", 0);
	err = avcodec_open2(ctx, ctx->codec, NULL);
	if (err < 0) {
		bf_encoder_close(e);
		return err;
	}
	*out = e;
	return 0;
}

// drain takes the packet that the frame just sent has produced, if any.
static int drain(bf_encoder *e, bf_packet *out) {
	memset(out, 0, sizeof *out);
	int err = avcodec_receive_packet(e->ctx, e->packet); // frees the one before
	if (err == AVERROR(EAGAIN) || err == AVERROR_EOF)
		return 0;
	if (err < 0)
		return err;
	out->data = e->packet->data;
	out->size = e->packet->size;
	out->key = (e->packet->flags & AV_PKT_FLAG_KEY) != 0;
	out->pts = e->packet->pts;
	out->dts = e->packet->dts;
	return 1;
}

int bf_encode_video(bf_encoder *e, const AVFrame *picture, int64_t pts, int key, bf_packet *out) {
	int err = av_frame_ref(e->frame, picture); // no copy; libx264 makes its own
	if (err < 0)
		return err;
	e->frame->pts = pts;
	e->frame->pict_type = key ? AV_PICTURE_TYPE_I : AV_PICTURE_TYPE_NONE;
	err = avcodec_send_frame(e->ctx, e->frame);
	av_frame_unref(e->frame);
	if (err < 0)
		return err;
	return drain(e, out);
}

int bf_audio_encoder_open(bf_encoder **out, int rate, int channels, int64_t bitrate) {
	bf_encoder *e;
	int err = make(&e, "aac");
	if (err < 0)
		return err;
	AVCodecContext *ctx = e->ctx;
	ctx->sample_fmt = AV_SAMPLE_FMT_FLTP;
	ctx->sample_rate = rate;
	ctx->time_base = (AVRational){1, rate};
	ctx->bit_rate = bitrate;
	av_channel_layout_default(&ctx->ch_layout, channels);
	// The default coder (twoloop) takes four times as long.
	av_opt_set(ctx->priv_data, "aac_coder", "fast", 0);
	err = avcodec_open2(ctx, ctx->codec, NULL);
	if (err < 0)
		goto fail;
	e->frame->format = ctx->sample_fmt;
	e->frame->nb_samples = ctx->frame_size;
	e->frame->sample_rate = rate;
	err = av_channel_layout_copy(&e->frame->ch_layout, &ctx->ch_layout);
	if (err < 0)
		goto fail;
	err = av_frame_get_buffer(e->frame, 0);
	if (err < 0)
		goto fail;
	*out = e;
	return 0;
fail:
	bf_encoder_close(e);
	return err;
}

int bf_encode_audio(bf_encoder *e, const float *samples, int64_t pts, bf_packet *out) {
	int err = av_frame_make_writable(e->frame); // the encoder may hold the last one
	if (err < 0)
		return err;
	int channels = e->ctx->ch_layout.nb_channels;
	for (int c = 0; c < channels; c++) {
		float *to = (float *)e->frame->data[c];
		for (int i = 0; i < e->frame->nb_samples; i++)
			to[i] = samples[i * channels + c];
	}
	e->frame->pts = pts;
	err = avcodec_send_frame(e->ctx, e->frame);
	if (err < 0)
		return err;
	return drain(e, out);
}

int bf_frame_size(const bf_encoder *e) {
	return e->ctx->frame_size;
}

int bf_priming(const bf_encoder *e) {
	return e->ctx->initial_padding;
}

const uint8_t *bf_header(const bf_encoder *e, int *size) {
	*size = e->ctx->extradata_size;
	return e->ctx->extradata;
}

void bf_encoder_close(bf_encoder *e) {
	avcodec_free_context(&e->ctx);
	av_frame_free(&e->frame);
	av_packet_free(&e->packet);
	av_free(e);
}
