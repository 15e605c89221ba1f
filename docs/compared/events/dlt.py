import dlt
from dlt.sources.rest_api import rest_api_source

source = rest_api_source(
    {
        "client": {
            "base_url": "https://api.openai.com/v1/",
            "auth": {"token": dlt.secrets["openai_api_key"]},
            "paginator": {
                "type": "cursor",
                "cursor_path": "data[-1].id",
                "cursor_param": "after",
                "has_more_path": "has_more",
            },
        },
        "resources": [
            "files",
            {"name": "jobs", "endpoint": {"path": "fine_tuning/jobs"}},
            {"name": "events", "endpoint": {"path": "fine_tuning/jobs/{resources.jobs.id}/events"}},
        ],
    }
)
dlt.pipeline("openai", destination="duckdb").run(source)
