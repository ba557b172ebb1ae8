"""How long what is kept, by the settings."""

from callpipeline.config import Settings
from callpipeline.domain.retention import Kept, Periods
from callpipeline.errors import SettingsInvalid


def periods(settings: Settings) -> Periods:
    """The periods; a setting of 0 days is for ever.

    Raises SettingsInvalid where recordings are to be kept longer than the calls that know where
    they are.
    """
    days = {kept: getattr(settings, f"keep_{kept}_days") or None for kept in Kept}
    recordings, results = days[Kept.RECORDINGS], days[Kept.RESULTS]
    if recordings and results and recordings > results:
        raise SettingsInvalid(
            "CALLPIPELINE_KEEP_RECORDINGS_DAYS is more than CALLPIPELINE_KEEP_RESULTS_DAYS: when a "
            "call is erased, nobody knows any more where its recording is. Make it as many days at "
            "most, or 0 to leave recordings where they are."
        )
    return Periods(days)
