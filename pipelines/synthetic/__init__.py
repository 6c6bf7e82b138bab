"""Makes small synthetic raw trees in the exact layouts of the collections.

They allow anybody to run the whole pipeline without access to a collection. A tree can have drawn
images and invented reports, or the user's own. A reader cannot distinguish its layout from that of
a download. The truth file beside it lists its content. The patients are invented.

How a tree is made:

    generate   the command `cxr-vlp synthetic`: one tree for each collection
    cases/     invents patients, studies and the findings of each study
    phantom/   draws the image of a study
    reports/   writes the report of a study
    layouts/   writes images, reports and tables as the publisher does, one module a collection
    writing/   what the layouts share: DICOM and image files, archives, CSV, faults, the truth file
    names/     the names that the collections have for findings
    ownership  protects every folder that this command did not make
    seeding    random generators: the same seed gives the same bytes
    demo       the parts of `make demo` and `make clean` that are not `dvc`

`cases` needs none of the other packages; `phantom` and `reports` need `cases`; `writing` needs
these three, and `layouts` needs `writing`. Of the rest of
`pipelines` only error codes, paths, progress and the pool of workers are used.
"""
