"""The words and bounds of a job of blind statistics, on which hospital and cloud have to agree."""

from typing import Final

#: `Job.statistic`: slot-wise sum and sum of squares over all ciphertexts, from which moments follow.
MOMENTS_STATISTIC: Final = "moments"
#: `EncryptedResult.name` of the two results, in the order in which they come.
SUM: Final = "sum"
SUM_OF_SQUARES: Final = "sum_of_squares"
RESULTS: Final = (SUM, SUM_OF_SQUARES)

#: A job's id is random, so that no two jobs share one. Both sides name the job by it in their logs.
JOB_ID_BYTES: Final = 16

#: What either end accepts. The largest message that is sent has one ciphertext of 0.26 MB, or two results of
#: half that size.
MAX_MESSAGE_BYTES: Final = 1 << 20
#: A key, three times as large as a ciphertext, travels in chunks of this size.
KEY_CHUNK_BYTES: Final = 256 << 10
