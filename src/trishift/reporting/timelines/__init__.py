"""Files of timelines: tables, subtitles, annotations, pages and videos."""
