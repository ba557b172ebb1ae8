"""What Dagster's processes find in their environment."""

from urllib.parse import quote, urlsplit

from callpipeline.config import CHECKOUT, Settings
from callpipeline.wiring.places import s3_access


def dagster_environment(settings: Settings, database_url: str) -> dict[str, str]:
    """What Dagster's processes need in their environment, as dagster.yaml and boto3 read it."""
    home, s3 = settings.home.absolute(), s3_access(settings)
    for_boto3 = {
        "AWS_ACCESS_KEY_ID": s3.access_key_id,
        "AWS_SECRET_ACCESS_KEY": s3.secret_access_key,
        "AWS_DEFAULT_REGION": s3.region or (s3.endpoint and "us-east-1"),
        # Many S3-compatible servers do not know the checksums that boto3 adds by itself.
        "AWS_REQUEST_CHECKSUM_CALCULATION": s3.endpoint and "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": s3.endpoint and "when_required",
    }
    token = settings.slack_bot_token
    for_slack = {"CALLPIPELINE_SLACK_BOT_TOKEN": token.get_secret_value() if token else None}
    return {
        "DAGSTER_HOME": str(CHECKOUT),
        "CALLPIPELINE_HOME": str(home),
        "CALLPIPELINE_DATABASE_URL": database_url,
        "CALLPIPELINE_DAGSTER_URL": _in_public_schema(database_url),
        "CALLPIPELINE_DAGSTER_FILES": str(home / "dagster"),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        # What a run plans is written so many rows at a time; what it did is written at once.
        "DAGSTER_EVENT_BATCH_SIZE": "1000",
        # An unexpected error may quote what was said in a call; texts of dg.Failure stay.
        "DAGSTER_REDACT_USER_CODE_ERRORS": "1",
    } | {name: value for name, value in (for_boto3 | for_slack).items() if value}


def _in_public_schema(database_url: str) -> str:
    """Dagster's tables are in `public`, also where the user is named like our schema.

    Postgres looks in a schema of the user's name first: Dagster then found our alembic_version.
    """
    separator = "&" if urlsplit(database_url).query else "?"
    return f"{database_url}{separator}options={quote('-c search_path=public')}"
