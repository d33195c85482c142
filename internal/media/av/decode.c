#include "av.h"

struct bf_decoder {
	AVCodecContext *ctx;
	AVPacket *packet;
};

int bf_decoder_open(bf_decoder **out, int codec) {
	// By name: libvpx would be an alternative for VP8 and is slower.
	const AVCodec *c = avcodec_find_decoder_by_name(codec == BF_VP8 ? "vp8" : "h264");
	if (!c)
		return AVERROR_DECODER_NOT_FOUND;
	bf_decoder *d = av_mallocz(sizeof *d);
	if (!d)
		return AVERROR(ENOMEM);
	int err = AVERROR(ENOMEM);
	d->packet = av_packet_alloc();
	d->ctx = avcodec_alloc_context3(c);
	if (!d->packet || !d->ctx)
		goto fail;
	d->ctx->thread_count = 1;
	d->ctx->max_pixels = (int64_t)BF_MAX_SIDE * BF_MAX_SIDE;
	// A frame that arrives is wanted now; nobody sends B frames in real time.
	d->ctx->flags |= AV_CODEC_FLAG_LOW_DELAY;
	err = avcodec_open2(d->ctx, c, NULL);
	if (err < 0)
		goto fail;
	*out = d;
	return 0;
fail:
	bf_decoder_close(d);
	return err;
}

int bf_decode(bf_decoder *d, const uint8_t *data, int size, int64_t pts, AVFrame **picture) {
	*picture = NULL;
	// The packet has no buffer of its own, so FFmpeg copies the data and
	// adds the padding that its bit readers need.
	d->packet->data = (uint8_t *)data;
	d->packet->size = size;
	d->packet->pts = pts;
	d->packet->dts = pts;
	int err = avcodec_send_packet(d->ctx, d->packet);
	d->packet->data = NULL;
	d->packet->size = 0;
	if (err == AVERROR(ENOMEM))
		return err;
	if (err < 0)
		return BF_DAMAGED;
	AVFrame *last = NULL;
	for (;;) { // as a rule one round gives a picture and the next EAGAIN
		AVFrame *f = av_frame_alloc();
		if (!f) {
			av_frame_free(&last);
			return AVERROR(ENOMEM);
		}
		err = avcodec_receive_frame(d->ctx, f);
		if (err < 0) {
			av_frame_free(&f);
			break;
		}
		av_frame_free(&last);
		last = f;
	}
	if (err != AVERROR(EAGAIN) && err != AVERROR_EOF) {
		av_frame_free(&last);
		return err == AVERROR(ENOMEM) ? err : BF_DAMAGED;
	}
	if (!last)
		return 0;
	int sound = last->format == AV_PIX_FMT_YUV420P || last->format == AV_PIX_FMT_YUVJ420P;
	for (int i = 0; i < 3; i++)
		sound = sound && last->data[i] && last->linesize[i] > 0;
	if (!sound || last->width < 2 || last->height < 2 ||
	    last->width > BF_MAX_SIDE || last->height > BF_MAX_SIDE) {
		av_frame_free(&last);
		return BF_UNSUPPORTED;
	}
	*picture = last;
	return 1;
}

void bf_decoder_reset(bf_decoder *d) {
	avcodec_flush_buffers(d->ctx);
}

void bf_decoder_close(bf_decoder *d) {
	avcodec_free_context(&d->ctx);
	av_packet_free(&d->packet);
	av_free(d);
}
