r"""
A scikit-learn pipeline on a frame with strings, categories and gaps
====================================================================

A pipeline takes a frame as it is, fills its gaps and writes its categories as columns. It is explained as it is, too:
in three lines from the fitted pipeline to a figure, against a background of other rows.
"""

# %%
# Penguins and a pipeline
# -----------------------
# 333 penguins of the Palmer archipelago (Gorman, Williams and Fraser 2014; Horst, Hill and Gorman 2020) with their
# species, island and four measurements; some of these are missing. Is a bird male?
from palmerpenguins import load_penguins
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

birds = load_penguins().dropna(subset=["sex"])
features, male = birds.drop(columns=["sex", "year"]), birds["sex"] == "male"
train, test, y_train, y_test = train_test_split(features, male, random_state=0)
words = ["species", "island"]
pipeline = make_pipeline(
    make_column_transformer((OneHotEncoder(), words), remainder=SimpleImputer(strategy="median")),
    GradientBoostingClassifier(n_estimators=60, random_state=0),
).fit(train, y_train)
print(train.dtypes.to_string())
print(f"{pipeline.score(test, y_test):.1%} of {len(test)} birds that it has not seen are right")

# %%
# Three lines
# -----------
# A column is a player. Absent columns come from a hundred birds of the training set, each in turn, and v is the mean of
# the score: "why male, rather than a bird like these?" ``decision_function`` is the log-odds; probabilities would be
# squeezed near 0 and 1, where interactions appear that the model does not have.
from captum_andor import AndOrInteractions
from captum_andor.games import Background, FrameModel

method = AndOrInteractions(FrameModel(pipeline.decision_function))
model = method.logical_model(test.iloc[[3]], Background(train[:100]), max_patterns=6)
model.plot("waterfall", use_pyplot=True)

# %%
# The patterns in words. "alone" and "together" are measured: means over all contexts without the others.
print(model)

# %%
# Beside shap
# -----------
# Shapley values are shap's for the same background: those of ``shap.KernelExplainer``, which takes arrays of objects
# and a function that turns them back into frames, are equal to fourteen digits, for this pipeline as for LightGBM and
# CatBoost with categories of their own (``python -m benchmarks.pipeline_shap``). From a budget each pass sees one row
# of the background, and the values have standard errors.
values = model.estimate.shapley_values()[0]
print({name: round(float(value), 3) for name, value in zip(test.columns, values, strict=True)})
estimate = method.estimate(test.iloc[[3]], Background(train[:100]), budget=300)
print(estimate)

# %%
# Many birds
# ----------
# A frame of several rows is a batch; the background's own passes are shared. Dots have the colour of the bird's value.
everyone = method.logical_model(test[:40], Background(train[:100]), max_patterns=6)
everyone.plot("beeswarm", data=test[:40], use_pyplot=True)
