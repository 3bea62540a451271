"""Annotations as label tools and public data sets write them, one small file each."""

from __future__ import annotations

import json
from typing import Any

LABEL_STUDIO = [
    {
        "id": 7,
        "annotations": [
            {
                "id": 1,
                "was_cancelled": False,
                "updated_at": "2026-01-02T10:00:00Z",
                "result": [
                    {
                        "id": "k1",
                        "type": "timelinelabels",
                        "from_name": "moves",
                        "to_name": "video",
                        "value": {"ranges": [{"start": 1, "end": 30}], "timelinelabels": ["walk"]},
                    },
                    {
                        "id": "k2",
                        "type": "videorectangle",
                        "from_name": "moves",
                        "to_name": "video",
                        "value": {
                            "framesCount": 90,
                            "duration": 3.0,
                            "labels": ["run"],
                            "sequence": [
                                {"frame": 31, "enabled": True, "x": 1, "y": 1, "width": 9, "height": 9, "time": 1.0},
                                {"frame": 40, "enabled": False, "x": 1, "y": 1, "width": 9, "height": 9, "time": 1.3},
                                {"frame": 61, "enabled": True, "x": 1, "y": 1, "width": 9, "height": 9, "time": 2.0},
                            ],
                        },
                    },
                    {
                        "id": "k3",
                        "type": "labels",
                        "from_name": "moves",
                        "to_name": "audio",
                        "value": {"start": 0.5, "end": 1.25, "channel": 0, "labels": ["clap"]},
                    },
                    {
                        "id": "k4",
                        "type": "choices",
                        "from_name": "quality",
                        "to_name": "video",
                        "value": {"choices": ["good"]},
                    },
                ],
            },
            {"id": 2, "was_cancelled": True, "updated_at": "2026-01-03T10:00:00Z", "result": []},
            {"id": 3, "was_cancelled": False, "updated_at": "2026-01-01T10:00:00Z", "result": []},
        ],
        "data": {"video": "/data/upload/1/0a1b2c3d-day1.mp4"},
    }
]
JSON_MIN = [
    {
        "video": "/data/upload/1/0a1b2c3d-day1.mp4",
        "id": 7,
        "moves": [
            {"ranges": [{"start": 1, "end": 30}], "timelinelabels": ["walk"]},
            {"start": 0.5, "end": 1.25, "channel": 0, "labels": ["clap"], "original_length": 3.0},
        ],
        "annotator": 1,
        "annotation_id": 1,
        "lead_time": 12.5,
    }
]
LABEL_STUDIO_CSV = (
    "annotation_id,annotator,created_at,id,lead_time,moves,updated_at,video\n"
    '1,1,2026-01-02,7,12.5,"[{""ranges"": [{""start"": 1, ""end"": 30}], ""timelinelabels"": [""walk""]}]",'
    "2026-01-02,/data/upload/1/0a1b2c3d-day1.mp4\n"
)

CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>5</id><name>yard</name><size>100</size><mode>interpolation</mode>
      <start_frame>0</start_frame><stop_frame>198</stop_frame><frame_filter>step=2</frame_filter>
      <labels><label><name>person</name><attributes><attribute><name>move</name></attribute></attributes></label></labels>
      <source>yard.mp4</source>
    </task>
  </meta>
  <track id="0" label="person" source="manual">
    <box frame="10" outside="0" occluded="0" keyframe="1" xtl="1" ytl="1" xbr="9" ybr="9">
      <attribute name="move">walk</attribute><attribute name="alone">true</attribute>
    </box>
    <box frame="20" outside="0" occluded="0" keyframe="1" xtl="1" ytl="1" xbr="9" ybr="9">
      <attribute name="move">run</attribute><attribute name="alone">false</attribute>
    </box>
    <box frame="30" outside="1" occluded="0" keyframe="1" xtl="1" ytl="1" xbr="9" ybr="9">
      <attribute name="move">run</attribute><attribute name="alone">false</attribute>
    </box>
    <box frame="40" outside="0" occluded="0" keyframe="1" xtl="1" ytl="1" xbr="9" ybr="9">
      <attribute name="move">walk</attribute><attribute name="alone">false</attribute>
    </box>
  </track>
  <track id="1" label="dog" source="manual">
    <box frame="0" outside="0" occluded="0" keyframe="1" xtl="1" ytl="1" xbr="9" ybr="9"/>
  </track>
</annotations>
"""
CVAT_IMAGES = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><job><id>3</id><source>yard.mp4</source></job></meta>
  <image id="4" name="frame_000004" width="9" height="9"><tag label="walk" source="manual"/></image>
  <image id="5" name="frame_000005" width="9" height="9"><tag label="walk" source="manual"/></image>
  <image id="6" name="frame_000006" width="9" height="9"><box label="dog" xtl="1" ytl="1" xbr="9" ybr="9"/></image>
  <image id="7" name="frame_000007" width="9" height="9"><tag label="walk" source="manual"/></image>
</annotations>
"""

VIA: dict[str, Any] = {
    "project": {"pid": "x", "rev": "1", "pname": "kitchen", "vid_list": ["1"]},
    "config": {},
    "attribute": {
        "1": {"aname": "step", "anchor_id": "FILE1_Z2_XY0", "type": 3, "options": {"0": "cut", "1": "stir"},
              "default_option_id": "1"},
        "2": {"aname": "note", "anchor_id": "FILE1_Z2_XY0", "type": 1, "options": {}, "default_option_id": ""},
    },
    "file": {"1": {"fid": 1, "fname": "soup.mp4", "type": 4, "loc": 1, "src": ""}},
    "metadata": {
        "1_a": {"vid": "1", "flg": 0, "z": [2, 6.5], "xy": [], "av": {"1": "0"}},
        "1_b": {"vid": "1", "flg": 0, "z": [7, 8], "xy": [], "av": {"1": "_DEFAULT", "2": "slowly"}},
        "1_c": {"vid": "1", "flg": 0, "z": [3], "xy": [2, 1, 1, 9, 9], "av": {"1": "0"}},
        "1_d": {"vid": "1", "flg": 0, "z": [9, 9.5], "xy": [], "av": {"1": "7"}},
    },
    "view": {"1": {"fid_list": ["1"]}},
}  # fmt: skip
VIA_CSV = (
    "# Exported using VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)\n"
    '# SHAPE_ID = {"POINT":1,"RECTANGLE":2}\n'
    f"# ATTRIBUTE = {json.dumps(VIA['attribute'])}\n"
    "# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata\n"
    '"1_a","[""soup.mp4""]",0,"[2,6.5]","[]","{""1"":""0""}"\n'
    '"1_b","[""soup.mp4""]",0,"[7,8]","[]","{""1"":""_DEFAULT"",""2"":""slowly""}"\n'
)
VIA_CSV_3_0_1 = (
    "# Exported using VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)\n"
    "# CSV_HEADER = metadata_id, file_list, temporal_segment_start, temporal_segment_end, metadata\n"
    '"1_a","[""soup.mp4""]",2,6.5,"{""TEMPORAL-SEGMENTS"":""cut""}"\n'
)

ELAN = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2026-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0">
  <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
    <MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/day%201.wav" MIME_TYPE="audio/x-wav"/>
    <MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/day%201.mp4" MIME_TYPE="video/mp4"
        RELATIVE_MEDIA_URL="./day%201.mp4" TIME_ORIGIN="500"/>
  </HEADER>
  <TIME_ORDER>
    <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="1000"/>
    <TIME_SLOT TIME_SLOT_ID="ts2"/>
    <TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="3000"/>
  </TIME_ORDER>
  <TIER LINGUISTIC_TYPE_REF="default-lt" TIER_ID="signs">
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
      <ANNOTATION_VALUE>hello</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts3">
      <ANNOTATION_VALUE>thanks</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
  </TIER>
  <TIER LINGUISTIC_TYPE_REF="parts" PARENT_REF="signs" TIER_ID="phases">
    <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="b1" ANNOTATION_REF="a2">
      <ANNOTATION_VALUE>rise</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
    <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="b2" ANNOTATION_REF="a2" PREVIOUS_ANNOTATION="b1">
      <ANNOTATION_VALUE>fall</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
    <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="b3" ANNOTATION_REF="gone">
      <ANNOTATION_VALUE>rest</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
  </TIER>
</ANNOTATION_DOCUMENT>
"""
ACTIVITYNET = {
    "version": "VERSION 1.3",
    "taxonomy": [],
    "database": {
        "abc": {
            "duration": 82.5,
            "subset": "training",
            "annotations": [{"segment": [6.4, 80.25], "label": "Drinking coffee"}],
        },
        "xyz": {"duration": 10.0, "subset": "testing", "annotations": []},
    },
}
CHARADES = (
    "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length\n"
    'YSKX3,AR89,Kitchen,6,7,Yes,"A person cooks, then eats.",stove,"text",c092 11.90 21.20;c147 0.00 12.60,33.0\n'
    "AB123,AR90,Attic,6,7,Yes,text,box,text,,20.5\n"
)
EPIC = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,stop_frame,"
    "narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes\n"
    "P01_01_0,P01,P01_01,00:00:01.089,00:00:00.14,00:00:03.37,8,202,open door,open,3,door,3,['door'],[3]\n"
    "P01_01_1,P01,P01_01,00:00:02.6,00:01:04.37,00:01:06.17,262,370,turn-on light,turn-on,6,light,114,['light'],[114]\n"
)
BORIS = (
    "Observation id,Observation date,Description,Media file,Total length,FPS,Subject,Behavior,Behavioral category,"
    "Modifiers,Behavior type,Start (s),Stop (s),Duration (s),Comment start,Comment stop\n"
    "one,2026-01-01,,/home/me/cage.mp4,60,25,rat,groom,,,STATE,1.5,4.0,2.5,,\n"
    "one,2026-01-01,,/home/me/cage.mp4,60,25,rat,sniff,,,POINT,5.0,5.0,NA,,\n"
)

THUMOS = "video_validation_0000266  72.8 76.4\nvideo_validation_0000266  80.0 81.5\n"
TABLE = "video,start,end,label\na.mp4,1:02,0:01:03.5,jump\na.mp4,70,71.25,spin;jump\n"

FILES: dict[str, Any] = {
    "project.json": LABEL_STUDIO,
    "minimal.json": JSON_MIN,
    "project.csv": LABEL_STUDIO_CSV,
    "annotations.xml": CVAT,
    "images.xml": CVAT_IMAGES,
    "via.json": VIA,
    "via.csv": VIA_CSV,
    "via_3_0_1.csv": VIA_CSV_3_0_1,
    "day.eaf": ELAN,
    "activity_net.json": ACTIVITYNET,
    "Diving_val.txt": THUMOS,
    "Charades_v1_train.csv": CHARADES,
    "EPIC_100_train.csv": EPIC,
    "aggregated.csv": BORIS,
    "marks.csv": TABLE,
}
"""File name to content: text, or data that is stored as JSON."""
