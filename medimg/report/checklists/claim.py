"""CLAIM: the checklist for artificial intelligence in medical imaging, update of 2024, 44 items."""

from medimg.report.checklists import compared, found, made
from medimg.report.checklists.items import Guideline
from medimg.report.checklists.items import Topic as T

CLAIM = Guideline(
    "CLAIM 2024",
    "Tejani et al., Radiology: Artificial Intelligence 6 (2024) e240300, doi 10.1148/ryai.240300",
    {
        "Title": (T("1", "AI and the kind of it named"),),
        "Abstract": (T("2", "Design, methods, results and conclusions in short"),),
        "Introduction": (
            T("3", "Clinical background, intended use and role"),
            T("4", "Aims and hypotheses"),
        ),
        "Methods: study design": (
            T("5", "Prospective or retrospective"),
            T("6", "Goal of the study", found.task, "what the study is to show"),
        ),
        "Methods: data": (
            T("7", "Sources of the data", made.sources, "where they come from"),
            T("8", "Inclusion and exclusion", made.unread, "the criteria, and why"),
            T("9", "Preprocessing", made.preprocess, "what was done before medimg read them"),
            T("10", "Selection of subsets of the data"),
            T("11", "De-identification"),
            T("12", "Missing data", found.missing, "how many were unknown, and why"),
            T("13", "Image acquisition"),
        ),
        "Methods: reference standard": (
            T("14", "How the reference standard was obtained"),
            T("15", "Why this reference standard"),
            T("16", "Who annotated"),
            T("17", "How the test set was annotated"),
            T("18", "Variability between and within raters"),
        ),
        "Methods: data partitions": (
            T("19", "How cases were assigned to partitions", made.splits, "why so"),
            T("20", "Level at which partitions are apart", made.disjoint),
        ),
        "Methods: testing data": (
            T("21", "Intended sample size", found.sample, "how the size was planned"),
        ),
        "Methods: model": (
            T("22", "The model in detail", made.model, "why this one; a drawing"),
            T("23", "Software and versions", made.software),
            T("24", "Initial weights", made.initialization),
        ),
        "Methods: training": (
            T("25", "Training in detail", made.training, "how its options were chosen"),
            T("26", "How the final model was selected", made.selection),
            T("27", "Ensembles", made.ensemble),
        ),
        "Methods: evaluation": (
            T("28", "Metrics", found.measures, "why these, and which is the primary one"),
            T("29", "Significance and uncertainty", found.intervals, "the level that was set"),
            T("30", "Robustness or sensitivity", compared.compared, "any further analysis"),
            T("31", "Explainability"),
            T("32", "Test on internal data", found.internal, "whether it counts as internal"),
            T("33", "Test on external data", compared.other_set, "whether it counts as external"),
            T("34", "Registration as a clinical trial"),
        ),
        "Results: data": (
            T("35", "Numbers included and excluded", made.flow, "exclusions before; a diagram"),
            T(
                "36",
                "Characteristics of the cases of each partition",
                compared.characteristics,
                "demographic and clinical columns, and the other partitions",
            ),
        ),
        "Results: model performance": (
            T("37", "Performance with its uncertainty", compared.performance),
            T("38", "Diagnostic performance with its precision", found.accuracy),
            T("39", "Analysis of wrong results", compared.failures, "what the wrong cases share"),
        ),
        "Discussion": (
            T("40", "Limitations"),
            T("41", "Implications for practice"),
        ),
        "Other information": (
            T("42", "Study protocol or further technical details"),
            T("43", "Availability of software, model and data"),
            T("44", "Funding and the role of funders"),
        ),
    },
)
