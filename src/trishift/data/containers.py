"""Restricts FFmpeg to local files in self-contained container formats.

FFmpeg also reads playlists, scripts and descriptions that refer to other files or addresses (hls, dash, concat, sdp,
image2, lavfi, ...), under any file name. To keep a clip from opening other files, only the demuxers and protocols
listed here are allowed.
"""

from __future__ import annotations

DEMUXERS = (
    # current containers
    "mov", "matroska", "avi", "asf", "flv", "live_flv", "mpegts", "mpegtsraw", "mpeg", "ogg", "mxf", "mxg", "nut", "rm",
    "gxf", "wtv", "dv", "ivf", "nsv", "swf", "lxf", "dhav", "kux", "pva", "pmp", "ty", "mods", "moflex", "mlv", "cine",
    # raw codec streams
    "av1", "obu", "h261", "h263", "h264", "hevc", "vvc", "evc", "m4v", "mpegvideo", "mjpeg", "mjpeg_2000", "mpjpeg",
    "smjpeg", "avs2", "avs3", "cavsvideo", "dirac", "dnxhd", "vc1", "vc1test", "apv", "yuv4mpegpipe",
    # animated pictures
    "gif", "apng", "jpegxl_anim", "flic",
    # game, camera and legacy formats
    "3dostr", "4xm", "anm", "argo_asf", "avr", "avs", "bethsoftvid", "bfi", "bink", "bmv", "c93", "cdxl", "dsicin",
    "dxa", "ea", "film_cpk", "filmstrip", "gdv", "hnm", "hxvs", "idcin", "idf", "ifv", "ingenient", "ipmovie", "ipu",
    "iv8", "ivr", "jv", "live_flv", "lmlm4", "lvf", "mm", "msnwctcp", "mtv", "mv", "mvi", "nuv", "paf", "pdv", "psxstr",
    "r3d", "rl2", "roq", "rpl", "sdr2", "ser", "sga", "siff", "simbiosis_imx", "smk", "smush", "thp", "tiertexseq",
    "tmv", "txd", "vividas", "vivo", "vmd", "wc3movie", "wsvqa", "xmv", "yop",
    # audio: opened so that the error can say that there is no video
    "wav", "w64", "mp3", "aac", "flac", "aiff", "au", "caf", "amr", "ac3", "ape", "tta", "wv", "voc",
)  # fmt: skip

MAX_PIXELS = 2**26
"""Pixels per frame: twice 8K. Larger frames are refused before they are decoded, because a file of a few kilobytes can
declare frames of gigabytes."""

OPTIONS = {"protocol_whitelist": "file", "format_whitelist": ",".join(DEMUXERS), "max_pixels": str(MAX_PIXELS)}
"""FFmpeg options that enforce the restriction."""

REFUSAL = "not a video file, but text, a playlist or another format that may name other files"
"""Meaning of FFmpeg's "invalid argument" error under `OPTIONS`."""
