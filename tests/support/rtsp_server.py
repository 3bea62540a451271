"""An RTSP camera based on GStreamer, for the system's Python (`gi` comes from the distribution).

python3 rtsp_server.py      # prints its address and serves until killed; exit status 77: packages are missing
"""

import sys

MISSING = 77

try:
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer
except (ImportError, ValueError) as error:
    print(error, file=sys.stderr)
    sys.exit(MISSING)

LAUNCH = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=64,height=48,framerate=30/1"
    " ! jpegenc ! rtpjpegpay name=pay0 pt=96 )"
)


def main() -> None:
    Gst.init(None)
    if not all(Gst.ElementFactory.find(name) for name in ("videotestsrc", "jpegenc", "rtpjpegpay")):
        print("GStreamer's base and good plugins are missing", file=sys.stderr)
        sys.exit(MISSING)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service("0")
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(LAUNCH)
    server.get_mount_points().add_factory("/live", factory)
    server.attach(None)
    print(f"rtsp://127.0.0.1:{server.get_bound_port()}/live", flush=True)
    GLib.MainLoop().run()


main()
