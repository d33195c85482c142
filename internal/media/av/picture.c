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

int bf_scale(AVFrame *dst, int dx, int dy, int dw, int dh,
             const AVFrame *src, int sx, int sy, int sw, int sh) {
	return I420Scale(
		src->data[0] + (ptrdiff_t)sy * src->linesize[0] + sx, src->linesize[0],
		src->data[1] + (ptrdiff_t)(sy / 2) * src->linesize[1] + sx / 2, src->linesize[1],
		src->data[2] + (ptrdiff_t)(sy / 2) * src->linesize[2] + sx / 2, src->linesize[2],
		sw, sh,
		dst->data[0] + (ptrdiff_t)dy * dst->linesize[0] + dx, dst->linesize[0],
		dst->data[1] + (ptrdiff_t)(dy / 2) * dst->linesize[1] + dx / 2, dst->linesize[1],
		dst->data[2] + (ptrdiff_t)(dy / 2) * dst->linesize[2] + dx / 2, dst->linesize[2],
		dw, dh, kFilterBilinear);
}
