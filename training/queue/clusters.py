"""Clusters of a project's pool: alike texts by their letters, in any language, without a model.

Texts become hashed n-grams of characters (Weinberger et al. 2009), their clusters come from mini-batch k-means
(Sculley 2010). The centres are kept, so that a text has the same cluster for ever and a new one finds its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

FEATURES = 1024
"""Dimensions of a text's vector; changing it, or what follows, needs new centres for every project."""
LONGEST_READ = 10_000

Vectors = npt.NDArray[np.float32]


def find_centres(texts: Sequence[str], count: int, *, seed: int) -> Vectors:
    """The centres of up to `count` clusters, (clusters, FEATURES); fewer where fewer texts differ. The same for the
    same texts and seed."""
    from sklearn.cluster import MiniBatchKMeans  # takes seconds and 100 MB, which only a refresh should pay

    vectors = vectorize(texts)
    different = len({row.tobytes() for row in vectors.toarray()})
    found = MiniBatchKMeans(min(count, different), random_state=seed, n_init=3, batch_size=1024).fit(vectors)
    return np.asarray(found.cluster_centers_, dtype=np.float32)


def nearest(texts: Sequence[str], centres: Vectors) -> list[int]:
    """For each text the index of the centre that is nearest to it."""
    if not texts:
        return []
    # |x - c|² without |x|², which is the same for all centres.
    distances = (centres**2).sum(axis=1)[None, :] - 2 * np.asarray(vectorize(texts) @ centres.T)
    return [int(index) for index in distances.argmin(axis=1)]


def vectorize(texts: Sequence[str]) -> Any:
    """The texts as rows of length 1, sparse (texts, FEATURES)."""
    from sklearn.feature_extraction.text import HashingVectorizer

    reader = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 4), n_features=FEATURES, dtype=np.float32)
    return reader.transform([text[:LONGEST_READ] for text in texts])
