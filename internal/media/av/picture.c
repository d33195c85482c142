#include "av.h"

#include <libavutil/frame.h>
#include <libyuv/scale.h>

AVFrame *bf_picture_new(int width, int height) {
	AVFrame *f = av_frame_alloc();
	if (!f)
		return NULL;
	f->format = AV_PIX_FMT_YUV420P;
	f->width = width;
	f->height = height;
	if (av_frame_get_buffer(f, 0) < 0)
		av_frame_free(&f);
	return f;
}

// narrow brings a plane from full to limited range.
static void narrow(uint8_t *plane, int stride, int width, int height, const uint8_t table[256]) {
	for (int y = 0; y < height; y++, plane += stride)
		for (int x = 0; x < width; x++)
			plane[x] = table[plane[x]];
}

int bf_scale(AVFrame *dst, int dx, int dy, int dw, int dh,
             const AVFrame *src, int sx, int sy, int sw, int sh) {
	uint8_t *y = dst->data[0] + (ptrdiff_t)dy * dst->linesize[0] + dx;
	uint8_t *u = dst->data[1] + (ptrdiff_t)(dy / 2) * dst->linesize[1] + dx / 2;
	uint8_t *v = dst->data[2] + (ptrdiff_t)(dy / 2) * dst->linesize[2] + dx / 2;
	int err = I420Scale(
		src->data[0] + (ptrdiff_t)sy * src->linesize[0] + sx, src->linesize[0],
		src->data[1] + (ptrdiff_t)(sy / 2) * src->linesize[1] + sx / 2, src->linesize[1],
		src->data[2] + (ptrdiff_t)(sy / 2) * src->linesize[2] + sx / 2, src->linesize[2],
		sw, sh,
		y, dst->linesize[0], u, dst->linesize[1], v, dst->linesize[2],
		dw, dh, kFilterBilinear);
	if (err || (src->format != AV_PIX_FMT_YUVJ420P && src->color_range != AVCOL_RANGE_JPEG))
		return err;
	uint8_t luma[256], chroma[256];
	for (int i = 0; i < 256; i++) {
		luma[i] = (uint8_t)(16 + (i * 219 + 127) / 255);
		chroma[i] = (uint8_t)(128 + ((i - 128) * 224 + (i < 128 ? -127 : 127)) / 255);
	}
	narrow(y, dst->linesize[0], dw, dh, luma);
	narrow(u, dst->linesize[1], (dw + 1) / 2, (dh + 1) / 2, chroma);
	narrow(v, dst->linesize[2], (dw + 1) / 2, (dh + 1) / 2, chroma);
	return 0;
}
