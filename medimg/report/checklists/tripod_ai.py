"""TRIPOD+AI: prediction models of regression or machine learning, 27 items in 52 rows."""

from medimg.report.checklists import compared, found, made
from medimg.report.checklists.items import Guideline
from medimg.report.checklists.items import Topic as T

TRIPOD_AI = Guideline(
    "TRIPOD+AI",
    "Collins et al., BMJ 385 (2024) e078378, doi 10.1136/bmj-2023-078378",
    {
        "Title": (T("1", "Development or evaluation, population and outcome named"),),
        "Abstract": (T("2", "After TRIPOD+AI for abstracts"),),
        "Introduction": (
            T("3a", "Healthcare context and rationale"),
            T("3b", "Target population, purpose and users"),
            T("3c", "Known inequalities of health"),
            T("4", "Objectives; development, evaluation or both"),
        ),
        "Methods": (
            T("5a", "Sources of the data", made.sources, "where from, and how representative"),
            T("5b", "Dates of the data"),
            T("6a", "Setting, number and place of centres"),
            T("6b", "Eligibility", made.unread, "the criteria"),
            T("6c", "Treatments"),
            T("7", "Preprocessing and quality checks", made.pixels_checked, "whether alike in all"),
            T("8a", "Outcome", found.task, "what it means, how and when it was assessed"),
            T("8b", "Who assessed the outcome"),
            T("8c", "Blinding of that assessment"),
            T("9a", "Choice of predictors", made.pixels_alone, "why"),
            T("9b", "Predictors and how they were measured", made.preprocess, "how images came"),
            T("9c", "Who assessed predictors"),
            T("10", "Sample size", found.sample, "how the sizes were planned, and if they suffice"),
            T("11", "Missing data", found.missing, "how many were unknown, and why"),
            T("12a", "How the data were used and parted", made.splits, "why so"),
            T("12b", "How predictors were handled", made.preprocess),
            T("12c", "Kind of model and how it was built", made.built, "why, and how tuned"),
            T("12d", "Heterogeneity between clusters", compared.compared, "which are clusters"),
            T("12e", "Measures of performance", found.assessed, "why these"),
            T("12f", "Updating of the model", made.updating, "any other updating"),
            T("12g", "How predictions were calculated", made.predicting),
            T("13", "Class imbalance", made.imbalance, "why; anything done before the training"),
            T("14", "Approaches to fairness"),
            T("15", "Output and thresholds", found.output, "why these thresholds"),
            T(
                "16",
                "How development and evaluation data differ",
                compared.other_set,
                "setting, eligibility and outcome",
            ),
            T("17", "Ethical approval and consent"),
        ),
        "Open science": (
            T("18a", "Funding and the role of funders"),
            T("18b", "Conflicts of interest"),
            T("18c", "Protocol"),
            T("18d", "Registration"),
            T("18e", "Availability of data"),
            T("18f", "Availability of code"),
        ),
        "Patient and public involvement": (T("19", "Patient and public involvement"),),
        "Results": (
            T("20a", "Flow of participants", found.flow, "who was left out before; a diagram"),
            T(
                "20b",
                "Characteristics of the participants",
                compared.characteristics,
                "dates, demographic columns and missing data, and the other sets",
            ),
            T(
                "20c",
                "Distributions compared with the development data",
                compared.other_set,
                "whether that set is the development data",
            ),
            T("21", "Participants and events in each analysis", found.flow, "events in training"),
            T("22", "The full model, for others to use", made.predicting, "where to get it"),
            T("23a", "Performance with its intervals, in subgroups too", compared.performance),
            T("23b", "Heterogeneity between clusters", compared.gaps, "which are clusters"),
            T("24", "Results of updating", made.updating, "any other updating"),
        ),
        "Discussion": (
            T("25", "Interpretation, with fairness"),
            T("26", "Limitations"),
            T("27a", "Poor or missing input in use", made.refusing, "what a user then does"),
            T("27b", "What users do, and the expertise needed"),
            T("27c", "Next steps of research"),
        ),
    },
)
