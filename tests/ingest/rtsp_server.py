"""`python3 rtsp_server.py PORT CLIP [USER PASSWORD]`: a camera, by GStreamer's RTSP server.

For the system's Python (Debian: python3-gi, gir1.2-gst-rtsp-server-1.0, and GStreamer's plugins).
Each connection gets the clip from its beginning, in real time.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

Gst.init(None)
port, clip, *secret = sys.argv[1:]
demux = "tsdemux" if clip.endswith(".ts") else "qtdemux"
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(port)
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(
    f"( filesrc location={clip} ! {demux} ! h264parse ! "
    "rtph264pay name=pay0 pt=96 config-interval=-1 )"
)
if secret:
    access = GstRtspServer.RTSPAuth()
    access.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    access.set_realm("camera")
    access.add_digest(*secret, token)
    server.set_auth(access)
    role = Gst.Structure.new_empty("viewer")
    role.set_value("media.factory.access", True)
    role.set_value("media.factory.construct", True)
    factory.add_role_from_structure(role)
server.get_mount_points().add_factory("/stream", factory)
server.attach(None)
print("ready", flush=True)
GLib.MainLoop().run()
