#!/usr/bin/env bash
# Makes the clips that attendees send: three seconds of video in three sizes,
# and four seconds of something like speech. One slice a picture, one key frame
# at the beginning.
set -euo pipefail
cd "$(dirname "$0")"

picture() { # size kbit/s name
	local source="testsrc2=size=$1:rate=30:duration=3,noise=alls=8:allf=t,format=yuv420p"
	ffmpeg -v error -y -f lavfi -i "$source" \
		-c:v libvpx -deadline good -cpu-used 4 -threads 1 -lag-in-frames 0 -error-resilient 1 \
		-b:v "$2k" -minrate "$2k" -maxrate "$2k" -bufsize "$(($2 / 2))k" -g 90 -keyint_min 90 \
		-f ivf "$3.ivf"
	ffmpeg -v error -y -f lavfi -i "$source" \
		-c:v libx264 -preset veryfast -tune zerolatency -profile:v baseline -threads 1 \
		-b:v "$2k" -maxrate "$2k" -bufsize "$(($2 / 4))k" -g 90 -keyint_min 90 -sc_threshold 0 \
		-x264-params slices=1:sliced-threads=0 -bsf:v filter_units=remove_types=6 \
		-f h264 "$3.h264"
}

picture 320x180 150 low
picture 640x360 500 mid
picture 1280x720 1500 hi

# Harmonics of a gliding tone in syllables, with a pause every two seconds.
phase='2*PI*(140*t-4.5*cos(4.4*t))'
voice=0
for k in 1 2 3 4 5 6 7 8; do voice="$voice+sin($k*$phase)/$k"; done
ffmpeg -v error -y -f lavfi \
	-i "aevalsrc='0.2*($voice)*sqrt(max(0,sin(8*PI*t)))*lt(mod(t,2),1.5)':s=48000:d=4" \
	-c:a libopus -b:a 32k -application voip -frame_duration 20 -page_duration 20000 -map_metadata -1 -fflags +bitexact -flags:a +bitexact voice.opus
